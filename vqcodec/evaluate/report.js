// What draws a report: its head, and the parts that the data name, in their order.
const $ = (id) => document.getElementById(id);
const SHOWN = 200; // rows of all inputs that are drawn at first
const data = JSON.parse($("data").textContent), metrics = data.metrics;

// All text goes in as text, never as markup: file names can hold anything.
function make(tag, text, properties) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  return Object.assign(element, properties || {});
}
function add(parent, ...children) { parent.append(...children); return parent; }
function row(cells, tag) { return add(make("tr"), ...cells.map((c) =>
  c instanceof Node ? c : make(tag || "td", c))); }
function soft(text, tag) { return make(tag || "p", text, { className: "soft" }); }
function format(metric, value, sign) {
  if (value === null || value === undefined) return "–";
  const text = value.toFixed(metric.digits).replace("-", "−");
  return sign && value > 0 ? "+" + text : text;
}
// which way it is better, where the ends of an interval agree
function verdict(metric, low, high) {
  const sign = metric.less ? -1 : 1;
  return Math.min(sign * low, sign * high) > 0 ? "good" :
    Math.max(sign * low, sign * high) < 0 ? "bad" : "soft";
}
function cell(c) {
  if (c === null || typeof c !== "object") return make("td", c);
  return c.soft === undefined ? figure(c) : soft(c.soft, "td");
}
// a mean, its interval, and for baselines the gain: vqcodec less the other
function figure({ key, value, ends, gain }) {
  const metric = metrics[key], cell = make("td", value === null ? "" : format(metric, value));
  if (ends) add(cell, make("small", format(metric, ends[0]) + "…" + format(metric, ends[1])));
  if (gain === undefined) return cell;
  if (!gain) return add(cell, make("span", null, { className: "gain" }));
  return add(cell, make("span", format(metric, gain[0], true), {
    className: "gain " + verdict(metric, gain[1], gain[2]),
    title: "vqcodec less this, 95 %: " + format(metric, gain[1], true) + " to " +
      format(metric, gain[2], true) }));
}

const draw = {
  table(box, part) {
    if (part.plot) add(box, make("img", null, { src: part.plot, className: "plot",
      alt: "Rate-distortion curves" }));
    const body = make("tbody");
    for (const cells of part.rows) {
      const line = row(cells.map(cell));
      if (part.grouped && typeof cells[0] === "string") line.className = "first";
      add(body, line);
    }
    const table = make("table", null, { id: "summary" });
    add(table, add(make("thead"), row(part.head, "th")), body);
    add(box, add(make("div", null, { className: "scroll" }), table), soft(part.text));
  },

  // Players with a name, what stands beside it, a spectrogram and figures, by recording.
  sounds(box, part) {
    const list = make("div", null, { id: part.id });
    for (const item of part.items) {
      const layers = make("div", null, { className: "layers" });
      for (const l of item.layers) add(layers, add(make("div", null, { className: "layer" }),
        add(make("p"), make("b", l.label), soft(l.beside ? " " + l.beside : "", "span")),
        make("img", null, { src: l.picture, alt: "spectrogram of " + l.label }),
        make("audio", null, { src: l.sound, controls: true, preload: "metadata" }),
        soft(l.facts || "")));
      const texts = item.name ? [make("h3", item.name), soft(item.facts)] : [];
      if (item.text) texts.push(make("p", item.text));
      add(list, add(make("div", null, { className: item.name ? "recording" : "" }), ...texts,
        layers));
    }
    add(box, soft(part.text), list);
  },

  // The table of all inputs: sorted as data, drawn as far as one wants to read.
  inputs(box, part) {
    const table = make("table", null, { id: "rows" });
    const more = make("button", null, { type: "button", id: "more" });
    const sorting = { column: 0, up: true, limit: SHOWN };
    const value = (v) => Array.isArray(v) ? v[0] : v; // what it is sorted by, and its text
    const text = (column, v) => Array.isArray(v) ? v[1] : typeof v === "string" ? v :
      format(column, v, column.signed);
    const redraw = () => {
      const sign = sorting.up ? 1 : -1;
      const sorted = part.rows.slice().sort((x, y) => {
        const a = value(x[sorting.column]), b = value(y[sorting.column]);
        if (a === null || b === null) return (a === null) - (b === null);
        return a < b ? -sign : a > b ? sign : 0;
      });
      const heads = part.columns.map((c, i) => {
        const button = make("button", c.head, { type: "button" });
        button.addEventListener("click", () => {
          sorting.up = sorting.column === i ? !sorting.up : true;
          sorting.column = i;
          redraw();
        });
        const head = add(make("th"), button);
        if (sorting.column === i)
          head.setAttribute("aria-sort", sorting.up ? "ascending" : "descending");
        return head;
      });
      const body = make("tbody");
      for (const r of sorted.slice(0, sorting.limit)) {
        const cells = part.columns.map((c, i) => make("td", text(c, r[i]), {
          className: c.signed && r[i] !== null ? verdict(c, r[i], r[i]) : "" }));
        cells[0].title = r[0];
        add(body, row(cells));
      }
      table.replaceChildren(add(make("thead"), row(heads)), body);
      more.hidden = sorted.length <= sorting.limit;
      more.textContent = "Show all " + sorted.length.toLocaleString("en");
    };
    more.addEventListener("click", () => { sorting.limit = Infinity; redraw(); });
    add(box, soft(part.text), add(make("div", null, { className: "scroll" }), table),
      add(make("p"), more));
    redraw();
  },

  notes(box, part) {
    add(box, add(make("ul", null, { id: "notes" }), ...part.items.map((n) => make("li", n))));
  },
};

function drawReport() {
  document.title = data.title;
  $("title").textContent = data.heading;
  $("about").textContent = data.about;
  for (const [head, value, under] of data.cards) add($("cards"), add(make("div", null,
    { className: "card" }), make("small", head), make("b", value), make("small", under || " ")));
  for (const part of data.parts) {
    const box = add(make("section"), make("h2", part.title));
    add($("parts"), box);
    draw[part.kind](box, part);
  }
  const players = [...document.querySelectorAll("audio")]; // playing one stops the others
  for (const one of players) one.addEventListener("play", () =>
    players.forEach((other) => { if (other !== one) other.pause(); }));
}
