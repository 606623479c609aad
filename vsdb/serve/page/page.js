// The page: what the address says is what is shown; every search and every moment has an address.

import { addImage, findMoments, judgeMoment, listVideos } from "./api.js";
import { clock, fileName, likePattern, marks, seconds } from "./format.js";
import { Player } from "./player.js";
import { element, momentCard, neighbour, videoCard } from "./results.js";

const PAGE_MOMENTS = 12;
const PAGE_VIDEOS = 24;
const MAX_MOMENTS = 1000;
const MAX_NAMES = 200;
const ANY_Z = -1000; // lower than any moment's
const LEAD_SECONDS = 1; // frames are sampled: what is seen at the start came into view a little before
const FIELDS = ["q", "video", "from", "to"];

const $ = (id) => document.getElementById(id);
const player = new Player();
let shown = null; // the question that the results on the page answer
let moments = [];
let mayJudge = false; // what the server said with the last answer
let judged = null; // the question and the moment that the buttons are about
let asking = null;
let turns = 0; // of questions: an image that took longer than the next question is not shown any more
const paths = new Map(); // of the videos that were shown

function state() {
  return new URLSearchParams(location.search);
}

function addressOf(changes) {
  const next = state();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") next.delete(name);
    else next.set(name, value);
  }
  return `/?${next}`.replace(/\?$/, "");
}

function go(address) {
  history.pushState(null, "", address);
  return show();
}

function say(text, isWrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", isWrong);
}

/** The question of the address, as /api/search takes it; null where none is asked. */
function question() {
  const now = state();
  if (!now.get("q") && !now.get("image")) return null;
  const from = seconds(now.get("from") ?? "");
  const to = seconds(now.get("to") ?? "");
  if (Number.isNaN(from) || Number.isNaN(to)) throw new Error("From and To are times such as 75, 1:15 or 0:01:15");
  return {
    prompt: now.get("image") ? null : now.get("q"),
    image: now.get("image"),
    video_like: now.get("video") ? likePattern(now.get("video")) : null,
    from_seconds: from,
    to_seconds: to,
    min_z: now.get("weaker") ? ANY_Z : null,
    max_moments: Math.min(MAX_MOMENTS, Math.max(1, Number(now.get("n")) || PAGE_MOMENTS)),
  };
}

function fillForm() {
  const now = state();
  for (const name of FIELDS) $(name).value = now.get(name) ?? "";
  $("picture").hidden = !now.get("image");
  $("q").placeholder = now.get("image") ? "" : "a red car";
  if (["video", "from", "to"].some((name) => now.get(name))) $("filters").open = true;
  document.title = now.get("q") ? `${now.get("q")} · vsdb` : "vsdb";
}

/** Show what the address says. */
async function show() {
  fillForm();
  let asked;
  try {
    asked = question();
    if (JSON.stringify(asked) !== shown) await showResults(asked);
  } catch (error) {
    if (error.name === "AbortError") return;
    shown = null;
    moments = [];
    $("results").replaceChildren();
    $("more").hidden = $("weaker").hidden = true;
    say(error.message, true);
  }
  showPlayer(asked);
}

async function showResults(asked) {
  turns += 1;
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  $("results").classList.add("waiting");
  try {
    if (asked) showMoments(asked, await findMoments(asked, signal));
    else showVideos(await listVideos(PAGE_VIDEOS, signal));
    shown = JSON.stringify(asked);
  } finally {
    if (!signal.aborted) $("results").classList.remove("waiting");
  }
}

function momentAddress(moment) {
  return addressOf({ play: moment.video_id, t: Math.max(0, moment.start_seconds - LEAD_SECONDS), at: moment.best_seconds });
}

function showMoments(asked, answer) {
  const near = answer.nearest;
  moments = near ? [near] : answer.moments;
  mayJudge = answer.may_judge;
  const what = asked.image ? "this image" : `“${asked.prompt}”`;
  if (near) say(`Nothing matches ${what}; the nearest is ${fileName(near.video_path)} at ${clock(near.best_seconds)} (${marks(near)}).`);
  else if (!moments.length) say(`Nothing matches ${what} there.`);
  else say(`${moments.length} ${moments.length === 1 ? "moment" : "moments"} for ${what}, best first`);
  for (const each of moments) paths.set(each.video_id, each.video_path);
  $("results").replaceChildren(...moments.map((each) => momentCard(each, momentAddress(each))));
  $("more").hidden = answer.moments.length < asked.max_moments || asked.max_moments >= MAX_MOMENTS;
  $("weaker").hidden = asked.min_z !== null || answer.moments.length >= asked.max_moments;
}

function showVideos(answer) {
  moments = [];
  const many = answer.num_videos === 1 ? "1 video" : `${answer.num_videos} videos`;
  if (!answer.num_videos) say("No videos yet; vsdb ingest PATH brings some.");
  else say(`${many}, ${clock(answer.duration_seconds)} in all. Ask for anything that can be seen there.`);
  for (const each of answer.videos) paths.set(each.video_id, each.video_path);
  $("results").replaceChildren(...answer.videos.map((each) => videoCard(each, addressOf({ play: each.video_id, t: 0 }))));
  $("more").hidden = $("weaker").hidden = true;
}

/** Offer the names of videos in the filter; there it is only a help. */
async function fillNames() {
  const answer = await listVideos(MAX_NAMES).catch(() => ({ videos: [] }));
  $("names").replaceChildren(...answer.videos.map((each) => Object.assign(element("option"), { value: fileName(each.video_path) })));
}

function showPlayer(asked) {
  const now = state();
  const videoId = Number(now.get("play"));
  const atSeconds = Number(now.get("t")) || 0;
  const moment = moments.find((each) => each.video_id === videoId && String(each.best_seconds) === now.get("at")) ?? null;
  for (const each of $("results").children) {
    if (new URL(each.href).search === location.search) each.setAttribute("aria-current", "true");
    else each.removeAttribute("aria-current");
  }
  if (!Number.isSafeInteger(videoId) || videoId < 1) return player.isOpen && player.close();
  judged = mayJudge && moment && asked?.prompt ? { prompt: asked.prompt, video_id: videoId, best_seconds: moment.best_seconds } : null;
  $("judge").hidden = !judged;
  const asks = asked && { prompt: asked.prompt, image: asked.image };
  return player.open({ videoId, path: paths.get(videoId) ?? "", atSeconds, moment, moments, question: asks });
}

function closePlayer() {
  const current = $("results").querySelector("[aria-current]");
  go(addressOf({ play: null, t: null, at: null }));
  (current ?? $("q")).focus();
}

async function judge(isRight) {
  const { prompt } = judged;
  try {
    await judgeMoment({ ...judged, is_right: isRight });
    say(`Noted: this is ${isRight ? "" : "not "}“${prompt}”.`);
  } catch (error) {
    say(error.message, true);
  }
}

async function askImage(file) {
  if (!file) return;
  const turn = ++turns;
  say("Looking at the image… The first one takes some seconds: the model is loaded for it.");
  try {
    const image = await addImage(file);
    if (turn !== turns) return;
    await preview(file);
    await go(addressOf({ q: null, image, n: null, weaker: null, play: null, t: null, at: null }));
  } catch (error) {
    if (turn === turns) say(error.message, true);
  }
}

async function preview(file) {
  const canvas = $("preview");
  const paper = canvas.getContext("2d");
  paper.clearRect(0, 0, canvas.width, canvas.height);
  const bitmap = await createImageBitmap(file).catch(() => null); // the server knows more formats than the browser
  if (!bitmap) return;
  const side = Math.min(bitmap.width, bitmap.height);
  paper.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, canvas.width, canvas.height);
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const typed = Object.fromEntries(FIELDS.map((name) => [name, $(name).value.trim()]));
  const image = typed.q ? null : state().get("image");
  go(addressOf({ ...typed, image, n: null, weaker: null, play: null, t: null, at: null }));
});
$("forget").addEventListener("click", () => go(addressOf({ image: null, weaker: null, play: null, t: null, at: null })));
$("file").addEventListener("change", (event) => {
  askImage(event.target.files[0]);
  event.target.value = "";
});
$("more").addEventListener("click", () => go(addressOf({ n: 2 * (Number(state().get("n")) || PAGE_MOMENTS) })));
$("weaker").addEventListener("click", () => go(addressOf({ weaker: 1 })));
$("filters").addEventListener("toggle", fillNames, { once: true });
$("close").addEventListener("click", closePlayer);
$("right").addEventListener("click", () => judge(true));
$("wrong").addEventListener("click", () => judge(false));
$("results").addEventListener("click", (event) => {
  const link = event.target.closest("a.card");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input, textarea");
  if (event.key === "/" && !isTyping) {
    event.preventDefault();
    $("q").select();
  } else if (event.key === "Escape" && player.isOpen) {
    closePlayer();
  } else if (event.key === "ArrowDown" && event.target === $("q")) {
    $("results").querySelector(".card")?.focus();
  } else {
    const next = neighbour($("results"), event.target, event.key);
    if (next) {
      event.preventDefault();
      next.focus();
    }
  }
});

let depth = 0; // dragenter and dragleave also come for what lies inside the page
document.addEventListener("dragenter", () => ($("drop").hidden = ++depth < 1));
document.addEventListener("dragleave", () => ($("drop").hidden = --depth < 1));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  $("drop").hidden = true;
  askImage(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => askImage(event.clipboardData.files[0]));
window.addEventListener("popstate", show);

if (!location.search) $("q").focus();
show();
