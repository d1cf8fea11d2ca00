// What the pages of all reports share: text, figures with intervals, tables that sort.
const $ = (id) => document.getElementById(id);
const SHOWN = 200; // rows of a table that are drawn at first

// All text goes in as text, never as markup: file names can hold anything.
function make(tag, text, properties) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  return Object.assign(element, properties || {});
}
function add(parent, ...children) { parent.append(...children); return parent; }
function row(cells, tag) { return add(make("tr"), ...cells.map((c) =>
  c instanceof Node ? c : make(tag || "td", c))); }
function format(metric, value, sign) {
  if (value === null || value === undefined) return "–";
  const text = value.toFixed(metric.digits).replace("-", "−");
  return sign && value > 0 ? "+" + text : text;
}
function heading(metric) { return metric.label + (metric.unit ? " " + metric.unit : ""); }
// which way it is better, where the ends of an interval agree
function verdict(metric, low, high) {
  const sign = metric.less ? -1 : 1;
  return Math.min(sign * low, sign * high) > 0 ? "good" :
    Math.max(sign * low, sign * high) < 0 ? "bad" : "soft";
}
// a mean, its interval, and for other codecs the gain: vqcodec less the other
function figure(metric, value, range, gain) {
  const cell = make("td", value === null ? "" : format(metric, value));
  if (range) add(cell, make("small", format(metric, range[0]) + "…" + format(metric, range[1])));
  if (!gain) return add(cell, make("span", null, { className: "gain" }));
  return add(cell, make("span", format(metric, gain[0], true), {
    className: "gain " + verdict(metric, gain[1], gain[2]),
    title: "vqcodec less this, 95 %: " + format(metric, gain[1], true) + " to " +
      format(metric, gain[2], true) }));
}

// The table of all inputs: sorted as data, drawn as far as one wants to read.
function sortable(columns, rows) {
  const sorting = { column: 0, up: true, limit: SHOWN };
  const draw = () => {
    const value = columns[sorting.column].value, sign = sorting.up ? 1 : -1;
    const sorted = rows.slice().sort((x, y) => {
      const a = value(x), b = value(y);
      if (a === null || b === null) return (a === null) - (b === null);
      return a < b ? -sign : a > b ? sign : 0;
    });
    const heads = columns.map((c, i) => {
      const button = make("button", c.head, { type: "button" });
      button.addEventListener("click", () => {
        sorting.up = sorting.column === i ? !sorting.up : true;
        sorting.column = i;
        draw();
      });
      const head = add(make("th"), button);
      if (sorting.column === i)
        head.setAttribute("aria-sort", sorting.up ? "ascending" : "descending");
      return head;
    });
    const body = make("tbody");
    for (const r of sorted.slice(0, sorting.limit)) {
      const cells = columns.map((c) => make("td", c.text(r), { className: c.signed &&
        c.value(r) !== null ? verdict(c.metric, c.value(r), c.value(r)) : "" }));
      cells[0].title = r[0];
      add(body, row(cells));
    }
    $("rows").replaceChildren(add(make("thead"), row(heads)), body);
    $("more").hidden = sorted.length <= sorting.limit;
    $("more").textContent = "Show all " + sorted.length.toLocaleString("en");
  };
  $("more").addEventListener("click", () => { sorting.limit = Infinity; draw(); });
  draw();
}
// Sounds: players with a name, what stands beside it, a spectrogram and figures, by recording.
function player(layer, metrics, name, beside) {
  const facts = layer.values ? metrics.filter((m) => typeof layer.values[m.key] === "number")
    .map((m) => m.label + " " + format(m, layer.values[m.key])).join(" · ") : "";
  return add(make("div", null, { className: "layer" }),
    add(make("p"), make("b", name), make("span", beside, { className: "soft" })),
    make("img", null, { src: layer.picture, alt: "spectrogram of " + name }),
    make("audio", null, { src: layer.sound, controls: true, preload: "metadata" }),
    make("p", facts, { className: "soft" }));
}
function recording(item, facts, players) {
  return add(make("div", null, { className: "recording" }), make("h3", item.name),
    make("p", facts, { className: "soft" }), ...(item.text ? [make("p", item.text)] : []),
    add(make("div", null, { className: "layers" }), ...players));
}
function oneAtATime() {
  const players = [...document.querySelectorAll("audio")];
  for (const one of players) one.addEventListener("play", () =>
    players.forEach((other) => { if (other !== one) other.pause(); }));
}

function drawNotes(more) {
  const notes = more.notes.length ? more.notes : ["Nothing was left out."];
  add($("notes"), ...notes.map((n) => make("li", n)),
    ...Object.entries(more.metrics).map(([key, source]) => make("li", key + ": " + source)),
    ...Object.values(more.anchors).map((a) => make("li", a.description)));
}
