/** What every chart has: a frame, two axes with their names, and a size that follows the page's. */

import { drawn } from "./element.js";
import { number } from "./words.js";

/**
 * Draw two axes.
 *
 * @param {{left, right, top, bottom}} frame in pixels
 * @param {{scale, name}} across
 * @param {{scale, name}} upwards
 */
export function axes(frame, across, upwards) {
  const { left, right, top, bottom } = frame;
  return drawn(
    "g",
    { class: "axes" },
    across.scale.ticks.flatMap((tick) => {
      const x = across.scale.place(tick);
      return [
        drawn("line", { x1: x, x2: x, y1: top, y2: bottom, class: "grid" }),
        drawn("text", { x, y: bottom + 18, "text-anchor": "middle" }, number(tick)),
      ];
    }),
    upwards.scale.ticks.flatMap((tick) => {
      const y = upwards.scale.place(tick);
      return [
        drawn("line", { x1: left, x2: right, y1: y, y2: y, class: "grid" }),
        drawn("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, number(tick)),
      ];
    }),
    drawn("line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "axis" }),
    drawn("line", { x1: left, x2: left, y1: top, y2: bottom, class: "axis" }),
    drawn("text", { x: (left + right) / 2, y: bottom + 38, "text-anchor": "middle", class: "axis-name" }, across.name),
    drawn("text", { x: left - 40, y: top - 12, "text-anchor": "start", class: "axis-name" }, upwards.name),
  );
}

/**
 * Draw again whenever there is more or less room.
 *
 * @param {Element} holder
 * @param {(width: number) => void} draw
 * @param {AbortSignal} signal
 */
export function fitted(holder, draw, signal) {
  let width = 0;
  const watch = new ResizeObserver(() => {
    if (holder.clientWidth === width) return;
    width = holder.clientWidth;
    draw(width);
  });
  watch.observe(holder);
  signal.addEventListener("abort", () => watch.disconnect());
}
