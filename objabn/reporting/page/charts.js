// Curves over epochs, with the values under the pointer or the arrow keys.

const CHARTS = { loss: "Losses", accuracy: "Accuracy and learning rate", time: "Time" };
const HEIGHT = 190;
const MARGIN = { left: 46, right: 10, top: 10, bottom: 26 };

function showTraining(data) {
  const place = section("training");
  if (!data.charts.length) {
    place.append(note("There is no log of training in these folders."));
    return;
  }
  for (const [group, title] of Object.entries(CHARTS)) {
    const charts = data.charts.filter((chart) => chart.group === group);
    const end = charts.flatMap((chart) => chart.lines.flatMap((line) => line.x)).reduce((a, b) => Math.max(a, b), 1);
    if (!charts.length) continue;
    const grid = element("div", { class: "charts" });
    const show = (isLog) => grid.replaceChildren(...charts.map((chart) => resizing((width) => lineChart(data, chart, width, end, isLog))));
    const box = element("input", { type: "checkbox", onchange: () => show(box.checked) });
    const toggle = group === "loss" ? element("label", { class: "check" }, box, element("span", { text: "logarithmic" })) : null;
    show(false);
    place.append(element("div", { class: "row" }, element("h3", { text: title }), toggle), grid);
  }
  place.append(note("Pale: every logged step. Lines with dots: epochs. Waiting is the share of the time in which the network had no clips to work on."));
}

// Where values stand in a chart; a linear axis begins at 0 unless the values lie far from it, and ends at a mark.
function scales(lines, width, end, isLog) {
  const known = lines.flatMap((line) => line.y).filter((value) => value !== null && (!isLog || value > 0));
  const [least, most] = known.length ? [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))] : [1, 10];
  const { low, high, values } = (isLog ? logarithmicAxis : linearAxis)(least, most);
  const shape = isLog ? Math.log10 : (value) => value;
  const room = HEIGHT - MARGIN.top - MARGIN.bottom;
  return {
    x: (epoch) => MARGIN.left + epoch / end * (width - MARGIN.left - MARGIN.right),
    y: (value) => HEIGHT - MARGIN.bottom - (shape(value) - shape(low)) / (shape(high) - shape(low)) * room,
    values,
  };
}

function linearAxis(least, most) {
  const begin = least > 0.6 * most && least < most ? least : Math.min(least, 0);
  const step = roundStep(begin, most, 4);
  const [low, high] = [Math.floor(begin / step + 1e-9) * step, Math.max(Math.ceil(most / step - 1e-9), 1) * step];
  return { low, high, values: marks(low, high, step) };
}

function logarithmicAxis(least, most) {
  const powers = Array.from({ length: 24 }, (_, power) => power - 12);
  const all = powers.flatMap((power) => [1, 2, 5].map((times) => Number(`${times}e${power}`)));
  const low = all.findLast((value) => value <= least) ?? all[0];
  const high = all.find((value) => value >= most && value > low) ?? most;
  const within = all.filter((value) => value >= low && value <= high);
  const shown = within.length > 6 ? within.filter((value) => String(value.toExponential())[0] === "1") : within;
  return { low, high, values: shown.map((value) => ({ value, text: value < 0.001 ? value.toExponential(0).replace("-", "−") : String(value) })) };
}

function lineChart(data, { title, unit, lines }, width, end, isLog) {
  const { x, y, values } = scales(lines, width, end, isLog);
  const isDrawn = (value) => value !== null && (!isLog || value > 0);
  const marker = drawn("line", { class: "marker", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden" });
  const paths = lines.map((line) => drawn("path", { class: line.look, style: runColour(line.run), d: pathOf(line, x, y, isDrawn) }));
  const dots = lines.filter((line) => line.look === "line" && line.x.length <= 60).flatMap((line) =>
    line.x.flatMap((epoch, place) => (isDrawn(line.y[place]) ? [drawn("circle", { style: runColour(line.run), cx: x(epoch), cy: y(line.y[place]), r: 2.5 })] : [])));
  const readout = element("p", { class: "readout" }, ...latest(data, lines, unit, end));
  const svg = drawn("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, tabindex: 0, role: "img", "aria-label": `${title} over epochs; arrow keys read values` },
    ...axisY(values, y, MARGIN.left, width - MARGIN.right),
    ...axisX(marks(0, end, Math.max(1, roundStep(0, end, 6))), x, HEIGHT - MARGIN.bottom), ...paths, ...dots, marker);
  readValues(svg, marker, { lines, x, width, end }, (epoch) => readout.replaceChildren(...latest(data, lines, unit, epoch)));
  return element("figure", { class: "chart" }, element("figcaption", {}, element("b", { text: title }), element("span", { class: "quiet", text: unit && ` ${unit}` })), svg, readout);
}

function pathOf(line, x, y, isDrawn) {
  let isOn = false;
  return line.x.map((epoch, place) => {
    const value = line.y[place];
    const command = isDrawn(value) ? `${isOn ? "L" : "M"}${x(epoch).toFixed(1)} ${y(value).toFixed(1)}` : "";
    isOn = isDrawn(value);
    return command;
  }).join("");
}

// The last values of all lines at or before an epoch.
function latest(data, lines, unit, epoch) {
  const shown = lines.filter((line) => line.look !== "faint" || !lines.some((other) => other.run === line.run && other.look === "line"));
  return [element("span", { class: "quiet", text: `epoch ${Number(epoch.toFixed(1))}` }), ...shown.map((line) => {
    const place = line.x.findLastIndex((each) => each <= epoch + 1e-6);
    const name = data.runs.length > 1 ? `${data.runs[line.run].name}${line.name === "epochs" ? "" : ` ${line.name}`}` : line.name;
    return element("span", { class: `key ${line.look}`, style: runColour(line.run), text: `${name} ${place < 0 ? "–" : brief(line.y[place])}${unit === "%" ? " %" : ""}` });
  })];
}

function readValues(svg, marker, { lines, x, width, end }, show) {
  const epochs = [...new Set(lines.flatMap((line) => line.x))].sort((a, b) => a - b);
  let place = epochs.length - 1;
  const move = (next) => {
    place = Math.min(Math.max(next, 0), epochs.length - 1);
    fill(marker, { x1: x(epochs[place]), x2: x(epochs[place]), visibility: "visible" }, []);
    show(epochs[place]);
  };
  const leave = () => {
    marker.setAttribute("visibility", "hidden");
    place = epochs.length - 1;
    show(end);
  };
  svg.addEventListener("pointermove", (event) => {
    const epoch = (event.clientX - svg.getBoundingClientRect().left - MARGIN.left) / (width - MARGIN.left - MARGIN.right) * end;
    const distances = epochs.map((each) => Math.abs(each - epoch));
    move(distances.indexOf(Math.min(...distances)));
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    move(place + (event.key === "ArrowLeft" ? -1 : 1));
  });
}
