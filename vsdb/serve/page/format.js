// How numbers and names are written; the same as on the command line.

/** Seconds as people read them: 0:07.0, 12:30.5, 1:02:03.0. */
export function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  const minutes = Math.floor(tenths / 600);
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** What a person typed for a time (75, 1:15, 0:01:15.5) in seconds; null for nothing; NaN for no time. */
export function seconds(text) {
  if (!text.trim()) return null;
  if (!/^\s*(\d+:){0,2}\d+([.,]\d+)?\s*$/.test(text)) return NaN;
  return text.replace(",", ".").split(":").reduce((sum, part) => 60 * sum + Number(part), 0);
}

/** The last part of a path. */
export function fileName(path) {
  return path.split(/[/\\]/).pop() || path;
}

/** What a person typed for a video as an SQL LIKE pattern: a part of the path, unless it holds a % itself. */
export function likePattern(text) {
  if (!text.includes("%")) return `%${text.replace(/[\\_]/g, "\\$&")}%`;
  return /^[/%]/.test(text) ? text : `%/${text}`;
}

/** What a moment is worth: a word where it stands out, score and z. */
export function marks(moment) {
  const word = moment.match === null ? "" : `${moment.match}, `;
  const z = moment.z === null ? "" : `, z ${moment.z.toFixed(1)}`;
  return `${word}score ${moment.score.toFixed(1)}${z}`;
}
