// Times and numbers as a person reads them.
import { signal } from "@preact/signals";

/** The server's time in milliseconds, so that a phone with a wrong clock still counts right. */
export const now = signal(Date.now());

let skew = 0;
let synced = false;

/** Learns how far this clock is off from the time in an answer. */
export function sync(serverNow: string): void {
  const off = Date.parse(serverNow) - Date.now();
  // Below two seconds it is the way of the answer, not the clock.
  if (!synced || Math.abs(off - skew) > 2000) skew = Math.abs(off) > 2000 ? off : 0;
  synced = true;
  now.value = Date.now() + skew;
}

setInterval(() => {
  if (!document.hidden) now.value = Date.now() + skew;
}, 1000);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) now.value = Date.now() + skew;
});

const UNITS: [number, string][] = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

/** `3 d 4 h`, `12 min`, `40 s`: at most two units, the second only where it matters. */
export function span(seconds: number): string {
  const total = Math.max(0, Math.round(seconds));
  if (total === 0) return "0 s";
  const at = UNITS.findIndex(([size]) => total >= size);
  const [size, unit] = UNITS[at] ?? [1, "s"];
  const count = Math.floor(total / size);
  const next = UNITS[at + 1];
  if (!next || count >= 10 || unit === "min") return `${count} ${unit}`;
  const rest = Math.floor((total - count * size) / next[0]);
  return rest > 0 ? `${count} ${unit} ${rest} ${next[1]}` : `${count} ${unit}`;
}

/** `12 min ago`, `in 3 h`. */
export function relative(at: string, from: number): string {
  const seconds = (Date.parse(at) - from) / 1000;
  if (Math.abs(seconds) < 1.5) return "now";
  return seconds < 0 ? `${span(-seconds)} ago` : `in ${span(seconds)}`;
}

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const dayFormat = new Intl.DateTimeFormat(undefined, {
  weekday: "short",
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  hour12: false,
});
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long", hour12: false });

/** The time of day within half a day, which cannot be mistaken even over midnight; with the day otherwise. */
export function clock(at: string, from: number): string {
  const time = new Date(at);
  const near = Math.abs(time.getTime() - from) < 12 * 3_600_000 || time.toDateString() === new Date(from).toDateString();
  return (near ? clockFormat : dayFormat).format(time);
}

/** Everything about a moment, for a tooltip. */
export function full(at: string): string {
  return fullFormat.format(new Date(at));
}

/** `0.35 ms`, `8 ms`, `1.24 s`. */
export function latency(seconds: number | null): string {
  if (seconds === null) return "–";
  if (seconds === 0) return "0 ms";
  if (seconds < 0.0095) return `${Number((seconds * 1000).toPrecision(2))} ms`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
}

/** `100 %`, `99.93 %`; never rounds up to 100. */
export function percent(share: number | null, digits = 2): string {
  if (share === null) return "–";
  if (share === 1 || share === 0) return `${share * 100} %`;
  const factor = 10 ** digits;
  return `${(Math.floor(share * 100 * factor) / factor).toFixed(digits)} %`;
}

/** `7.6 GB`. */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let at = 0;
  let value = count;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${value.toFixed(value < 10 && at > 0 ? 1 : 0)} ${units[at]}`;
}

/** A value of a metric: at most four significant digits. */
export function value(number: number | null): string {
  if (number === null) return "–";
  if (!Number.isFinite(number)) return String(number);
  const size = Math.abs(number);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return number.toExponential(2);
  return String(Number(number.toPrecision(4)));
}

/** Labels as PromQL writes them. */
export function labelText(labels: Record<string, string>): string {
  const pairs = Object.entries(labels).map(([name, text]) => `${name}="${text}"`);
  return `{${pairs.join(", ")}}`;
}
