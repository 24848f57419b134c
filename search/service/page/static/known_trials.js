/** A sweep's newest trials, each read until it is finished: what it came to is its result for good. */

import { readAll, sweepPath } from "./api.js";

const FINISHED = ["done", "failed", "pruned"];
const MOST = 5000; // more points than a map can show, and as much as a browser draws in a moment

/** The trials; `renew` reads what may have changed. */
export class KnownTrials {
  /**
   * @param {string} sweepId
   * @param {AbortSignal} signal
   */
  constructor(sweepId, signal) {
    this.sweepId = sweepId;
    this.signal = signal;
    this.items = [];
    this.total = 0;
  }

  /** @param {object} progress of the sweep: says how many trials there are; their numbers have no gap */
  async renew({ waiting, running, done, failed, pruned }) {
    const total = waiting + running + done + failed + pruned;
    const first = Math.max(total - MOST, 0);
    const open = this.items.findIndex((trial) => !FINISHED.includes(trial.state));
    const kept = this.items.slice(0, open === -1 ? undefined : open).filter((trial) => trial.number >= first);
    const after = kept.length ? kept[kept.length - 1].number : first - 1;
    const query = { limit: 500, after };
    const read = await readAll(sweepPath(this.sweepId, "trials"), { signal: this.signal, query });
    this.items = [...kept, ...read];
    this.total = first + this.items.length;
  }

  /** What is to be said where there are more; empty where these are all. */
  get shortfall() {
    const [shown, total] = [this.items.length, this.total].map((count) => count.toLocaleString("en"));
    return this.items.length < this.total ? `Map and table have the newest ${shown} of ${total} trials.` : "";
  }
}
