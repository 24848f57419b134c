/** Colours for an objective: viridis, as in the figures; told apart with any colour vision. */

const VIRIDIS = [
  "#440154",
  "#482878",
  "#3e4989",
  "#31688e",
  "#26828e",
  "#1f9e89",
  "#35b779",
  "#6ece58",
  "#b5de2b",
  "#fde725",
];

/** Stops of a gradient, from the lowest to the highest. */
export const STOPS = VIRIDIS.map((colour, at) => [at / (VIRIDIS.length - 1), colour]);

/** The colour of a share of the way from the lowest to the highest, in [0, 1]. */
export function colour(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const [low, high] = [channels(VIRIDIS[Math.floor(place)]), channels(VIRIDIS[Math.ceil(place)])];
  const mixed = low.map((each, at) => Math.round(each + (high[at] - each) * (place % 1)));
  return `rgb(${mixed.join(" ")})`;
}

function channels(hexadecimal) {
  return [1, 3, 5].map((at) => parseInt(hexadecimal.slice(at, at + 2), 16));
}
