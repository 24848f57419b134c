/** From values to places in a chart, with ticks that are easy to read. */

/**
 * A scale.
 *
 * @param {number} low value at `from`
 * @param {number} high value at `to`
 * @param {number} from place
 * @param {number} to place
 * @param {boolean} log whether equal ratios are equally long
 * @param {boolean} whole whether only whole numbers are marked
 */
export function scale(low, high, from, to, { log = false, whole = false } = {}) {
  const read = log ? Math.log : (value) => value;
  const [start, span] = [read(low), read(high) - read(low)];
  const place = (value) => from + ((read(value) - start) / span) * (to - from);
  return { place, ticks: log ? decades(low, high) : steps(low, high, whole ? 1 : 0) };
}

/** The limits of values, with room around them; a floor is never gone below. */
export function limits(values, { log = false, floor = -Infinity } = {}) {
  const [write, read] = log ? [Math.exp, Math.log] : [(value) => value, (value) => value];
  const [low, high] = [Math.min(...values.map(read)), Math.max(...values.map(read))];
  const margin = 0.06 * (high - low) || 0.5;
  return [Math.max(write(low - margin), floor), write(high + margin)];
}

function steps(low, high, least) {
  const rough = Math.max((high - low) / 5, least);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough);
  const count = Math.floor((high - Math.ceil(low / step) * step) / step + 1e-9) + 1;
  return Array.from({ length: count }, (_, at) => Number(((Math.ceil(low / step) + at) * step).toPrecision(12)));
}

function decades(low, high) {
  const subdivisions = high / low < 100 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const each of subdivisions) ticks.push(Number((each * 10 ** power).toPrecision(12)));
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}
