// Classes: how many videos of each are right, and what the others are taken for.

const READABLE = 24; // classes that a table can still show

function showClasses(data) {
  const place = section("classes");
  place.append(element("h3", { text: "Right videos of each class" }), classBars(data));
  const matrices = data.runs.map((run, number) => element("div", { class: "of-run" }, matrix(data, run, number), pairs(data, run, number)));
  place.append(element("h3", { text: "What is taken for what" }), element("div", { class: "matrices" }, ...matrices));
}

function classBars(data) {
  const labels = data.runs[0].classCounts.map(([label]) => label);
  const shareOf = (run, label) => {
    const found = run.classCounts.find(([each]) => each === label);
    return found ? { right: found[1], videos: found[2], share: found[1] / found[2] } : null;
  };
  const rows = labels.map((label) => {
    const shares = data.runs.map((run) => shareOf(run, label));
    const known = shares.filter((share) => share !== null);
    const mean = known.reduce((sum, { share }) => sum + share, 0) / known.length;
    return { label, shares, mean, videos: known[0].videos };
  });
  const orders = {
    worst: (a, b) => a.mean - b.mean || b.videos - a.videos || a.label - b.label,
    name: (a, b) => data.classes[a.label].localeCompare(data.classes[b.label]),
    videos: (a, b) => b.videos - a.videos || a.label - b.label,
  };
  const list = element("ol", { class: "bars" });
  const show = (order) => list.replaceChildren(...rows.sort(orders[order]).map((row) => classRow(data, row)));
  show("worst");
  const options = [{ value: "worst", text: "worst first" }, { value: "name", text: "by name" }, { value: "videos", text: "most videos first" }];
  const names = data.runs.length > 1 ? element("p", { class: "names" }, ...data.runs.map((_, run) => runName(data, run))) : null;
  return element("div", {}, names, choice("Order", "class-order", options, "worst", show),
    element("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Right videos of each class" }, list));
}

function classRow(data, { label, shares }) {
  return element("li", {},
    element("span", { class: "name", text: data.classes[label] }),
    element("span", { class: "of-runs" }, ...shares.map((share, run) => share && element("span", { class: "bar", style: { ...runColour(run), "--share": share.share } },
      element("span", { class: "figure", text: `${percent(share.share, 0)}  ${share.right}/${share.videos}` })))));
}

// The classes that occur, as true ones or as answers.
const occurring = (run) => [...new Set(run.confusion.flatMap(([label, predicted]) => [label, predicted]))].sort((a, b) => a - b);

function matrix(data, run, number) {
  const labels = occurring(run);
  const title = element("figcaption", {}, data.runs.length > 1 ? runName(data, number) : null,
    element("span", { class: "quiet", text: " Rows: true class. Columns: answer." }));
  const cells = new Map(run.confusion.map(([label, predicted, videos]) => [`${label} ${predicted}`, videos]));
  const totals = new Map(run.classCounts.map(([label, , videos]) => [label, videos]));
  const share = (label, predicted) => (cells.get(`${label} ${predicted}`) ?? 0) / (totals.get(label) ?? 1);
  const content = labels.length > READABLE ? largeMatrix(data, labels, cells, share) : smallMatrix(data, labels, cells, share);
  return element("figure", { class: "matrix" }, title, content);
}

function smallMatrix(data, labels, cells, share) {
  const cell = (label, predicted) => element("td", {
    class: label === predicted ? "right" : "wrong", style: { "--share": share(label, predicted) }, text: cells.get(`${label} ${predicted}`) ?? "",
  });
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Confusion matrix" }, element("table", { class: "confusion" },
    element("caption", { class: "hidden", text: "Videos by true class (rows) and answer (columns)" }),
    element("thead", {}, element("tr", {}, element("td"), ...labels.map((label) => element("th", { scope: "col" }, element("span", { text: data.classes[label] }))))),
    element("tbody", {}, ...labels.map((label) => element("tr", {},
      element("th", { scope: "row", text: data.classes[label] }), ...labels.map((predicted) => cell(label, predicted)))))));
}

// Too many for a table: a picture, whose cells are read with the pointer or the arrow keys.
function largeMatrix(data, labels, cells, share) {
  const count = labels.length;
  const side = Math.max(2, Math.floor(720 / count)) * count;
  const [right, wrong] = ["right", "wrong"].map((kind) => element("i", { class: `ink ${kind}`, hidden: true }));
  const canvas = element("canvas", { width: side, height: side, tabindex: 0, role: "img", "aria-label": `Confusion matrix of ${count} classes; arrow keys read cells` });
  const readout = element("p", { class: "readout", "aria-live": "polite", text: "Point at a cell, or use the arrow keys." });
  const cursor = { row: 0, column: 0, isShown: false };
  const draw = () => {
    const context = canvas.getContext("2d");
    const size = side / count;
    context.clearRect(0, 0, side, side);
    const colours = { right: getComputedStyle(right).color, wrong: getComputedStyle(wrong).color };
    labels.forEach((label, row) => labels.forEach((predicted, column) => {
      if (!cells.has(`${label} ${predicted}`)) return;
      context.fillStyle = label === predicted ? colours.right : colours.wrong;
      context.globalAlpha = 0.5 + 0.5 * share(label, predicted);
      context.fillRect(column * size, row * size, size, size);
    }));
    context.globalAlpha = 1;
    context.strokeStyle = getComputedStyle(canvas).color;
    if (cursor.isShown) context.strokeRect(cursor.column * size - 1, cursor.row * size - 1, size + 2, size + 2);
  };
  const read = (row, column) => {
    Object.assign(cursor, { row: clamp(row, count), column: clamp(column, count), isShown: true });
    const [label, predicted] = [labels[cursor.row], labels[cursor.column]];
    readout.textContent = `${data.classes[label]} taken for ${data.classes[predicted]}: ${plural(cells.get(`${label} ${predicted}`) ?? 0, "video")}`;
    draw();
  };
  canvas.addEventListener("pointermove", (event) => {
    const { width, height } = canvas.getBoundingClientRect();
    read(Math.floor(event.offsetY / height * count), Math.floor(event.offsetX / width * count));
  });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    read(cursor.row + moves[event.key][0], cursor.column + moves[event.key][1]);
  });
  onTheme(draw);
  requestAnimationFrame(draw);
  return element("div", { class: "picture" }, canvas, readout, right, wrong);
}

const clamp = (place, count) => Math.min(Math.max(place, 0), count - 1);

function pairs(data, run, number) {
  const mistakes = run.confusion.filter(([label, predicted]) => label !== predicted).sort((a, b) => b[2] - a[2]).slice(0, 12);
  if (!mistakes.length) return note(`Every video is right${data.runs.length > 1 ? ` with ${run.name}` : ""}.`);
  const rows = mistakes.map(([label, predicted, videos]) => [data.classes[label], data.classes[predicted], String(videos)]);
  return table(`Most frequent mistakes${data.runs.length > 1 ? ` of ${data.runs[number].name}` : ""}`, ["True class", "Answer", "Videos"], rows);
}
