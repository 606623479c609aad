// The grid of pictures. Names and paths are set as text, never as markup.

import { frameAddress } from "./api.js";
import { clock, fileName, marks } from "./format.js";

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Lay a box, in pixels of a frame of that size, over whatever shows the frame. */
export function placeBox(mark, [x, y, width, height], [frameWidth, frameHeight]) {
  mark.style.left = `${(100 * x) / frameWidth}%`;
  mark.style.top = `${(100 * y) / frameHeight}%`;
  mark.style.width = `${(100 * width) / frameWidth}%`;
  mark.style.height = `${(100 * height) / frameHeight}%`;
}

function picture(videoId, atSeconds, [width, height], words) {
  const frame = element("div", "frame");
  frame.style.aspectRatio = `${width} / ${height}`;
  if (height > width) frame.style.maxWidth = `${(100 * width) / height}%`;
  const image = element("img");
  image.loading = "lazy";
  image.alt = words;
  image.addEventListener("error", () => frame.classList.add("gone"));
  image.src = frameAddress(videoId, atSeconds);
  frame.append(image);
  return frame;
}

function card(address, frame, time, lines) {
  const link = element("a", "card");
  link.href = address;
  link.append(frame, element("p", "time", time), ...lines);
  return link;
}

/** A moment: its best frame with the box, its time, its video, its score. */
export function momentCard(moment, address) {
  const span = `${clock(moment.start_seconds)} – ${clock(moment.end_seconds)}`;
  const name = fileName(moment.video_path);
  const frame = picture(moment.video_id, moment.best_seconds, moment.frame_size, `${name} at ${clock(moment.best_seconds)}`);
  const mark = element("span", "box");
  placeBox(mark, moment.box, moment.frame_size);
  frame.append(mark);
  const where = element("p", "where", name);
  where.title = moment.video_path;
  const made = card(address, frame, span, [where, element("p", "marks", marks(moment))]);
  if (moment.z !== null && moment.match === null) made.classList.add("weak");
  return made;
}

/** A video of the list that is shown before anything was asked. */
export function videoCard(video, address) {
  const name = fileName(video.video_path);
  const frame = picture(video.video_id, video.duration_seconds / 3, [video.width, video.height], name);
  const where = element("p", "where", name);
  where.title = video.video_path;
  return card(address, frame, clock(video.duration_seconds), [where]);
}

/** Arrow keys walk through the grid; gives the card to go to, or null. */
export function neighbour(grid, current, key) {
  const cards = [...grid.querySelectorAll(".card")];
  const place = cards.indexOf(current);
  if (place < 0) return null;
  const columns = cards.filter((each) => each.offsetTop === cards[0].offsetTop).length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  return key in steps ? (cards[place + steps[key]] ?? null) : null;
}
