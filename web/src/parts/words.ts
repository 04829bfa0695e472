// Figures and times as people read them. Pure.

const UNITS: [number, string][] = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1_000, "s"],
];

/** A length of time in at most two units, such as `2 h 5 min`, `1.4 s` or `35 ms`. */
export function span(ms: number): string {
  const size = Math.abs(ms);
  if (size < 1_000) return `${Math.round(size)} ms`;
  if (size < 10_000) return `${(size / 1_000).toFixed(1)} s`;
  const index = UNITS.findIndex(([unit]) => size >= unit);
  const [unit, name] = UNITS[index]!;
  const whole = Math.floor(size / unit);
  const next = UNITS[index + 1];
  const rest = next ? Math.floor((size - whole * unit) / next[0]) : 0;
  return next && rest > 0 ? `${whole} ${name} ${rest} ${next[1]}` : `${whole} ${name}`;
}

/** How long ago, or how soon, in one phrase. */
export function ago(ms: number, now: number): string {
  const distance = now - ms;
  if (Math.abs(distance) < 1_000) return "now";
  const words = span(Math.floor(Math.abs(distance) / 1_000) * 1_000)
    .split(" ")
    .slice(0, 2)
    .join(" ")
    .replace(/\.\d/, "");
  return distance > 0 ? `${words} ago` : `in ${words}`;
}

const pad = (value: number, digits = 2) => String(value).padStart(digits, "0");

/** Local date and time with seconds, in the order that sorts. */
export function moment(ms: number, withMs = false): string {
  const date = new Date(ms);
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return `${day} ${time}${withMs ? `.${pad(date.getMilliseconds(), 3)}` : ""}`;
}

export function number(value: number): string {
  return value.toLocaleString("en-GB");
}

export function percent(share: number, digits = 1): string {
  return `${(share * 100).toFixed(digits)} %`;
}

/** `StepsSkipped` as `steps skipped`, `dead_letter` as `dead letter`. */
export function plain(name: string): string {
  return name
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .replaceAll("_", " ")
    .toLowerCase();
}

export function short(text: string, length = 60): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
