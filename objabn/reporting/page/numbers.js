// Numbers as text, and round ones for axes.

const fixed = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));
const percent = (share, digits = 1) => `${fixed(100 * share, digits)} %`;

// As many digits as tell neighbouring values apart.
function brief(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(1).replace("-", "−");
  return fixed(value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

// The round distance between marks of which about `count` go from low to high.
function roundStep(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((times) => times * power).find((each) => each >= rough * 0.999);
}

// Marks at multiples of a step, each with its text, all with equally many digits.
function marks(low, high, step) {
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const text = (value) => (digits > 3 ? (value ? value.toExponential(0).replace("-", "−") : "0") : fixed(value, digits));
  return Array.from({ length: last - first + 1 }, (_, place) => (first + place) * step).map((value) => ({ value, text: text(value) }));
}

const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
const plural = (count, one, several = `${one}s`) => `${count} ${count === 1 ? one : several}`;
