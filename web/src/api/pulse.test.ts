import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Pulse } from "./pulse";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => vi.useRealTimers());

it("acts at once, and once more for all that changed until the answer is there and the pause is over", async () => {
  const answers: (() => void)[] = [];
  const pulse = new Pulse(() => new Promise<void>((answer) => answers.push(answer)), 1_000);
  pulse.mark();
  expect(answers).toHaveLength(1);
  for (let count = 0; count < 5; count += 1) pulse.mark();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(answers).toHaveLength(1); // the answer is not there
  answers[0]!();
  await vi.advanceTimersByTimeAsync(999);
  expect(answers).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(answers).toHaveLength(2);
  answers[1]!();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(answers).toHaveLength(2); // nothing changed since
  pulse.mark();
  expect(answers).toHaveLength(3);
});

it("goes on after a failure, and ends", async () => {
  let count = 0;
  const pulse = new Pulse(() => Promise.reject(new Error(String((count += 1)))), 10);
  pulse.mark();
  pulse.mark();
  await vi.advanceTimersByTimeAsync(10);
  expect(count).toBe(2);
  pulse.mark();
  pulse.end();
  await vi.advanceTimersByTimeAsync(100);
  pulse.mark();
  expect(count).toBe(2);
});
