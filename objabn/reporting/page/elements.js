// Elements. What comes from data gets into the page here only, and as text only.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name === "style") for (const [key, of] of Object.entries(value)) node.style.setProperty(key, of);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const element = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);
const drawn = (tag, properties = {}, ...children) => fill(document.createElementNS(SVG, tag), properties, children);
const section = (name) => document.getElementById(name);
const note = (text) => element("p", { class: "note", text });

// A table whose first cell of each row is its head; cells are texts or elements.
function table(caption, head, rows, kind = "") {
  const cell = (tag, content, more) =>
    element(tag, more, ...(content instanceof Node ? [content] : [document.createTextNode(content ?? "")]));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    element("table", { class: kind },
      element("caption", { text: caption }),
      element("thead", {}, element("tr", {}, ...head.map((name) => cell("th", name, { scope: "col" })))),
      element("tbody", {}, ...rows.map((cells) =>
        element("tr", {}, ...cells.map((content, place) => cell(place ? "td" : "th", content, place ? {} : { scope: "row" }))))),
    ));
}

// A choice of one among few, as buttons side by side.
function choice(legend, name, options, chosen, onchange) {
  const inputs = options.map(({ value, text }) => {
    const input = element("input", { type: "radio", name, value, checked: value === chosen, onchange: () => onchange(value) });
    return element("label", {}, input, element("span", { text }));
  });
  const set = element("fieldset", { class: "choice" }, element("legend", { text: legend }), ...inputs);
  set.choose = (value) => {
    const input = [...set.querySelectorAll("input")].find((each) => each.value === value);
    if (input) input.checked = true;
  };
  return set;
}
