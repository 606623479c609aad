// The player: the video at the moment, or its picture where there is no video any more.

import { frameAddress, scoreVideo, videoAddress, whyNoVideo } from "./api.js";
import { clock, fileName } from "./format.js";
import { placeBox } from "./results.js";
import { Strip } from "./strip.js";

const BOX_SECONDS = 0.35; // the box belongs to one frame; the thing moves on

const $ = (id) => document.getElementById(id);

export class Player {
  constructor() {
    this.film = $("film");
    this.strip = new Strip($("strip"), $("legend"), (time) => this.seek(time));
    this.film.addEventListener("timeupdate", () => this.follow());
    this.film.addEventListener("error", () => this.explain());
    this.film.addEventListener("loadedmetadata", () => this.fit(this.film.videoWidth, this.film.videoHeight));
  }

  get isOpen() {
    return !$("player").hidden;
  }

  /** Open a video at a time; `moment` (or null) is drawn on its best frame, `question` over the strip. */
  open({ videoId, path, atSeconds, moment, moments, question }) {
    const isOther = this.videoId !== videoId;
    this.videoId = videoId;
    this.moment = moment;
    this.stillSeconds = moment ? moment.best_seconds : atSeconds;
    $("player").hidden = false;
    this.name(path);
    if (moment) this.fit(...moment.frame_size);
    $("still").hidden = $("trouble").hidden = $("mark").hidden = true;
    this.film.hidden = false;
    if (isOther || this.film.error) this.film.src = `${videoAddress(videoId)}#t=${atSeconds}`;
    else this.film.currentTime = atSeconds;
    this.film.play().catch(() => {}); // a browser may want a click first; the controls are there
    this.strip.moveTo(atSeconds);
    this.score(question, moments);
    $("player").scrollIntoView({ block: "nearest" });
  }

  close() {
    this.asking?.abort();
    this.film.pause();
    this.film.removeAttribute("src");
    this.film.load();
    this.strip.hide();
    this.videoId = null;
    $("player").hidden = true;
  }

  name(path) {
    $("name").textContent = fileName(path);
    $("path").textContent = path;
  }

  fit(width, height) {
    if (!(width > 0 && height > 0)) return;
    $("stage").style.aspectRatio = `${width} / ${height}`;
    $("stage").style.maxWidth = `${(72 * width) / height}vh`;
  }

  seek(time) {
    this.stillSeconds = time;
    this.strip.moveTo(time);
    if (this.film.hidden) this.showStill();
    else this.film.currentTime = time;
  }

  follow() {
    if (this.film.hidden) return;
    const time = this.film.currentTime;
    this.strip.moveTo(time);
    this.mark(this.moment && Math.abs(time - this.moment.best_seconds) < BOX_SECONDS);
  }

  mark(isHere) {
    if (isHere) placeBox($("mark"), this.moment.box, this.moment.frame_size);
    $("mark").hidden = !isHere;
  }

  async score(question, moments) {
    this.asking?.abort();
    this.asking = new AbortController();
    if (!question) return this.strip.hide();
    try {
      const answer = await scoreVideo({ ...question, video_id: this.videoId }, this.asking.signal);
      this.name(answer.video_path);
      this.strip.show(answer, moments.filter((each) => each.video_id === answer.video_id), this.moment);
    } catch (error) {
      if (error.name !== "AbortError") this.strip.hide();
    }
    return undefined;
  }

  async explain() {
    if (!this.film.getAttribute("src")) return;
    const videoId = this.videoId;
    const reason = await whyNoVideo(videoId);
    if (videoId !== this.videoId) return;
    this.film.hidden = true;
    $("trouble").textContent = reason ?? "This browser cannot play this kind of video.";
    $("trouble").hidden = false;
    this.showStill();
  }

  showStill() {
    const still = $("still");
    still.alt = `the frame at ${clock(this.stillSeconds)}`;
    still.src = frameAddress(this.videoId, this.stillSeconds);
    still.hidden = false;
    this.mark(this.moment && Math.abs(this.stillSeconds - this.moment.best_seconds) < BOX_SECONDS);
  }
}
