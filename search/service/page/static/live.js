/** Keeping a view up to date while somebody may be looking at it. */

import { Problem } from "./api.js";
import { trouble } from "./element.js";

const AFTER_TROUBLE = 10;

/**
 * Do something now and again and again, until the signal: not while the page is hidden, slower while it fails.
 *
 * @param {() => Promise<void>} task
 * @param {() => number} seconds from one time to the next
 * @param {AbortSignal} signal
 * @returns {() => void} do it at once
 */
export function repeat(task, seconds, signal) {
  let timer = null;
  let busy = false;
  let again = false;
  let failed = false;

  async function turn() {
    clearTimeout(timer);
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    let wait = AFTER_TROUBLE;
    try {
      await task();
      wait = seconds();
      if (failed) trouble(""); // only what was said here: why a button was refused stays to be read
      failed = false;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      trouble(error.message);
      failed = true;
    } finally {
      busy = false;
    }
    if (signal.aborted) return;
    if (again) {
      again = false;
      turn();
    } else if (!document.hidden) timer = setTimeout(turn, wait * 1000);
  }

  signal.addEventListener("abort", () => clearTimeout(timer));
  document.addEventListener("visibilitychange", () => !document.hidden && turn(), { signal });
  turn();
  return turn;
}
