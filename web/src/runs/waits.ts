// What an open run waits for, in words. The API names events as they are, and everything else as `kind:what`. Pure.

const WORDS = new Map([
  ["approval", "approval by"],
  ["delay", "delay until"],
  ["call", "call of"],
  ["callback", "callback of"],
  ["retry", "retry of"],
  ["child", "child run of"],
]);

export function waitsInWords(waits: string | null | undefined): string {
  return (waits ?? "").split(" ").filter(Boolean).map(inWords).join(", ");
}

function inWords(wait: string): string {
  if (/^\+\d+$/.test(wait)) return `${wait.slice(1)} more`;
  const [, kind, what] = /^([a-z]+):(.*)$/.exec(wait) ?? [];
  const words = WORDS.get(kind ?? "");
  return words ? `${words} ${what}` : wait;
}
