// Times and numbers for people.

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const distance = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const number = new Intl.NumberFormat();

export const count = (value: number) => number.format(value);

export const counted = (value: number, one: string, many: string) => `${count(value)} ${value === 1 ? one : many}`;

const UNITS = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
] as const;

/** "5 minutes ago" for the last week, then the date. */
export function moment(time: string): string {
  const date = new Date(time);
  const seconds = (date.getTime() - Date.now()) / 1000;
  if (Math.abs(seconds) > 7 * 86_400) return full.format(date);
  for (const [unit, length] of UNITS) {
    if (Math.abs(seconds) >= length) return distance.format(Math.round(seconds / length), unit);
  }
  return "just now";
}

/** Of an estimate: nobody reads to the second. */
export const duration = (seconds: number) => (seconds < 60 ? `${seconds} s` : `${count(Math.round(seconds / 60))} min`);

const BROWSERS = [
  ["Edg/", "Edge"],
  ["Firefox/", "Firefox"],
  ["Chrome/", "Chrome"],
  ["Safari/", "Safari"],
] as const;
const SYSTEMS = [
  ["iPhone", "iPhone"],
  ["iPad", "iPad"],
  ["Android", "Android"],
  ["Windows", "Windows"],
  ["Mac OS", "macOS"],
  ["Linux", "Linux"],
] as const;

/** What a device calls itself, as far as people care. */
export function device(userAgent: string | null): string {
  const find = (words: readonly (readonly [string, string])[]) =>
    words.find(([word]) => userAgent?.includes(word))?.[1];
  const [browser, system] = [find(BROWSERS), find(SYSTEMS)];
  if (browser && system) return `${browser} on ${system}`;
  return browser ?? system ?? userAgent?.split(/[\s/]/)[0] ?? "Unknown device";
}
