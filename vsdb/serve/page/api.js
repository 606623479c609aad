// The server's answers. An error carries the server's own words.

const MAX_PICTURE_BYTES = 20_000_000;

async function ask(path, values, options = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") query.append(name, value);
  }
  let response;
  try {
    response = await fetch(`${path}?${query}`, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer; is vsdb serve still running?");
  }
  const body = await response.json().catch(() => ({}));
  options.signal?.throwIfAborted(); // a newer question came while this answer was read
  if (!response.ok) throw new Error(body.error || `the server answered ${response.status}`);
  return body;
}

/** Moments for a question; see /api/search. */
export function findMoments(question, signal) {
  return ask("/api/search", question, { signal });
}

/** Note whether a moment answers a prompt; see /api/judgements. */
export function judgeMoment(judgement) {
  const headers = { "Content-Type": "application/json" };
  return ask("/api/judgements", {}, { method: "POST", headers, body: JSON.stringify(judgement) });
}

/** How well each frame of a video answers; see /api/scores. */
export function scoreVideo(values, signal) {
  return ask("/api/scores", values, { signal });
}

/** The first videos by path; see /api/videos. */
export function listVideos(maxVideos, signal) {
  return ask("/api/videos", { max_videos: maxVideos }, { signal });
}

/** Hand a picture over; gives the id to search with. */
export async function addImage(file) {
  if (file.size > MAX_PICTURE_BYTES) throw new Error("the picture is larger than 20 MB; take a smaller one");
  return (await ask("/api/images", {}, { method: "POST", body: file })).image;
}

/** Why a video does not play, in the server's words; null where the server can send it. */
export async function whyNoVideo(videoId) {
  try {
    const response = await fetch(videoAddress(videoId), { headers: { Range: "bytes=0-0" } });
    return response.ok ? null : (await response.json()).error;
  } catch {
    return "the server does not answer";
  }
}

/** Address of a video's file. */
export function videoAddress(videoId) {
  return `/api/video/${Number(videoId)}`;
}

/** Address of a frame's picture. */
export function frameAddress(videoId, atSeconds, full = false) {
  const query = new URLSearchParams({ video_id: videoId, pts_seconds: Math.max(0, atSeconds) });
  if (full) query.append("full", "true");
  return `/api/frame?${query}`;
}
