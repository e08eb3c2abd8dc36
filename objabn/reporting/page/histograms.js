// How the entropy of each map is spread over videos.

function showHistograms(data) {
  const place = section("maps");
  if (!data.histograms.length) {
    place.append(note("No map was measured."));
    return;
  }
  const most = Math.max(...data.histograms.flatMap(({ counts }) => counts.flatMap((of) => of ?? [])));
  place.append(
    element("div", { class: "charts" }, ...data.histograms.map((histogram) => resizing((width) => drawHistogram(data, histogram, most, width)))),
    note("Entropy in bits of each video's map, mean over its frames (Object-ABN eq. 11); a line marks the mean over videos. Lower is sharper."));
}

function drawHistogram(data, { map, low, high, counts, means }, most, width) {
  const [height, left, right, top, bottom] = [170, 34, 8, 8, 26];
  const x = (bits) => left + (bits - low) / (high - low) * (width - left - right);
  const y = (videos) => height - bottom - videos / most * (height - top - bottom);
  const parts = [
    ...axisX(marks(low, high, roundStep(low, high, 5)), x, height - bottom),
    ...axisY(marks(0, most, Math.max(1, roundStep(0, most, 4))), y, left, width - right),
  ];
  counts.forEach((of, run) => {
    if (!of) return;
    const edge = (bin) => x(low + (high - low) * bin / of.length);
    const steps = of.map((videos, bin) => `L${edge(bin)} ${y(videos)}L${edge(bin + 1)} ${y(videos)}`).join("");
    parts.push(
      drawn("path", { class: "area", style: runColour(run), d: `M${edge(0)} ${y(0)}${steps}L${edge(of.length)} ${y(0)}Z` }),
      drawn("line", { class: "mean", style: runColour(run), x1: x(means[run]), x2: x(means[run]), y1: top, y2: height - bottom }));
  });
  const told = means.map((mean, run) => mean !== null && `${data.runs.length > 1 ? `${data.runs[run].name} ` : "mean "}${fixed(mean, 2)} bits`).filter(Boolean).join(", ");
  return element("figure", { class: "chart" },
    element("figcaption", {}, element("b", { text: map }), element("span", { class: "quiet", text: ` ${told}` })),
    drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Entropy of ${map} over videos: ${told}` }, ...parts));
}

// A place whose content is drawn for its width, and drawn again when that changes.
function resizing(draw) {
  const place = element("div", { class: "resizing" });
  let before = 0;
  new ResizeObserver(([{ contentRect }]) => {
    const width = Math.floor(contentRect.width);
    if (width === before || width < 40) return;
    before = width;
    place.replaceChildren(draw(width));
  }).observe(place);
  return place;
}

function axisX(values, x, bottom) {
  return values.map(({ value, text }) => drawn("text", { class: "tick", x: x(value), y: bottom + 17, "text-anchor": "middle", text }));
}

function axisY(values, y, left, right) {
  return values.flatMap(({ value, text }) => [
    drawn("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
    drawn("text", { class: "tick", x: left - 6, y: y(value) + 4, "text-anchor": "end", text }),
  ]);
}
