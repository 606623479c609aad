// Under the player: how well the question is answered over the whole video. A click goes there.

import { frameAddress } from "./api.js";
import { clock } from "./format.js";
import { element } from "./results.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000;
const HEIGHT = 100;
const STEP_SECONDS = 5;

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** At most WIDTH columns, each as high as the best frame in it; frames without neighbours stay visible. */
function columns(times, scores, duration) {
  const best = new Map();
  times.forEach((time, index) => {
    const column = Math.min(WIDTH - 1, Math.floor((WIDTH * time) / duration));
    best.set(column, Math.max(best.get(column) ?? -Infinity, scores[index]));
  });
  return [...best].sort((one, other) => one[0] - other[0]);
}

function bounds(scores) {
  return scores.reduce(([low, high], score) => [Math.min(low, score), Math.max(high, score)], [Infinity, -Infinity]);
}

function curve(times, scores, duration) {
  const [low, high] = bounds(scores);
  const y = (score) => HEIGHT - 6 - ((HEIGHT - 12) * (score - low)) / (high - low || 1);
  const points = columns(times, scores, duration).map(([column, score]) => [column, y(score).toFixed(1)]);
  const line = points.map(([x, at]) => `L${x} ${at}`).join("");
  return `M0 ${HEIGHT + 4}L0 ${points[0][1]}${line}L${WIDTH} ${points.at(-1)[1]}L${WIDTH} ${HEIGHT + 4}Z`;
}

export class Strip {
  /** `seek` is called with the seconds to go to. */
  constructor(place, legend, seek) {
    this.place = place;
    this.legend = legend;
    this.seek = seek;
    this.head = element("span", "head");
    this.peek = element("span", "peek");
    this.peekImage = element("img");
    this.peekImage.alt = "";
    this.peekText = element("span");
    this.peek.append(this.peekImage, this.peekText);
    place.addEventListener("click", (event) => this.seek(this.timeAt(event)));
    place.addEventListener("pointermove", (event) => this.showPeek(event));
    place.addEventListener("pointerleave", () => (this.peek.hidden = true));
    place.addEventListener("keydown", (event) => this.step(event));
    this.hide();
  }

  hide() {
    this.place.hidden = this.legend.hidden = true;
    this.answer = null;
    this.at = 0;
  }

  /** Draw an answer of /api/scores, and the moments of that video behind it; `open` is the one that plays. */
  show(answer, moments, open) {
    if (!answer.scores.length || !(answer.duration_seconds > 0)) return this.hide();
    this.answer = answer;
    const x = (time) => (WIDTH * time) / answer.duration_seconds;
    const picture = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    for (const moment of moments) {
      const [start, end] = [x(moment.start_seconds), x(moment.end_seconds)];
      picture.append(shape("rect", { class: moment === open ? "moment open" : "moment", x: start, y: 0, width: Math.max(2, end - start), height: HEIGHT }));
    }
    picture.append(shape("path", { class: "curve", d: curve(answer.pts_seconds, answer.scores, answer.duration_seconds) }));
    this.peek.hidden = true;
    this.place.replaceChildren(picture, this.head, this.peek);
    this.place.hidden = this.legend.hidden = false;
    this.legend.textContent = `score over the whole video, best ${bounds(answer.scores)[1].toFixed(1)}; click to go there`;
    this.place.setAttribute("aria-valuemin", "0");
    this.place.setAttribute("aria-valuemax", answer.duration_seconds.toFixed(1));
    this.moveTo(this.at);
    return undefined;
  }

  moveTo(time) {
    this.at = time;
    if (!this.answer) return;
    this.head.style.left = `${Math.min(100, (100 * time) / this.answer.duration_seconds)}%`;
    this.place.setAttribute("aria-valuenow", time.toFixed(1));
    this.place.setAttribute("aria-valuetext", `${clock(time)}, score ${this.scoreAt(time)[1].toFixed(1)}`);
  }

  /** Time and score of the sampled frame at a time, or before it. */
  scoreAt(time) {
    const { pts_seconds: times, scores } = this.answer;
    let low = 0;
    let high = times.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (times[middle] <= time) low = middle;
      else high = middle - 1;
    }
    return [times[low], scores[low]];
  }

  timeAt(event) {
    const { left, width } = this.place.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - left) / width));
    return share * (this.answer?.duration_seconds ?? 0);
  }

  showPeek(event) {
    if (!this.answer || event.pointerType === "touch") return;
    const [time, score] = this.scoreAt(this.timeAt(event));
    const { left, width } = this.place.getBoundingClientRect();
    this.peek.style.left = `${Math.min(Math.max(0, event.clientX - left - 84), Math.max(0, width - 168))}px`;
    this.peek.hidden = false;
    if (this.peekTime === `${this.answer.video_id} ${time}`) return;
    this.peekTime = `${this.answer.video_id} ${time}`;
    this.peekImage.src = frameAddress(this.answer.video_id, time);
    this.peekText.textContent = `${clock(time)}  score ${score.toFixed(1)}`;
  }

  step(event) {
    const steps = { ArrowLeft: -STEP_SECONDS, ArrowRight: STEP_SECONDS };
    if (!(event.key in steps) || !this.answer) return;
    event.preventDefault();
    event.stopPropagation();
    this.seek(Math.min(this.answer.duration_seconds, Math.max(0, this.at + steps[event.key])));
  }
}
