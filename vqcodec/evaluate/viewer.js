// Pictures to compare: two layers of one picture on a stage, such as the original and a copy.
const FLICKER_MS = 500, WIDEST = 640;

draw.pictures = (box, part) => {
  const { items, side } = part; // of larger pictures the middle is here
  const state = { picture: 0, mode: "slider", position: 50, timer: 0, flipped: false };
  add(box, soft(part.text), $("viewer").content.cloneNode(true));

  const layer = (codec) => items[state.picture].layers.find((l) => l.codec === codec);
  const label = (codec) => layer(codec).label;
  const picture = (codec, extra) => make("img", null, { src: layer(codec).source,
    alt: label(codec), className: extra || "" });
  const tag = (codec, where) => make("span", label(codec), { className: "tag " + where });

  items.forEach((item, index) => {
    const button = make("button", null, { type: "button", title: item.name });
    button.dataset.name = item.name;
    add(button, make("img", null, { src: item.layers[0].source, alt: "" }),
      make("span", item.rank), make("span", item.quality));
    button.addEventListener("click", () => show(index));
    add($("strip"), button);
  });
  function fill(select, layers, wanted) {
    select.replaceChildren(...layers.map((l) => make("option", l.label, { value: l.codec })));
    select.value = layers.some((l) => l.codec === wanted) ? wanted : layers[0].codec;
  }
  function show(index) {
    const before = [$("a").value || "original", $("b").value || part.ours];
    state.picture = index;
    const item = items[index];
    fill($("a"), item.layers, before[0]);
    fill($("b"), item.layers, before[1]);
    [...$("strip").children].forEach((b, i) => b.setAttribute("aria-pressed", i === index));
    $("name").textContent = item.name;
    const shown = Object.entries(metrics);
    const facts = item.layers.filter((l) => l.values).map((l) => row([l.label, l.bytes,
      ...shown.map(([key, m]) => format(m, l.values[key])), l.setting]));
    $("size").textContent = item.width + "×" + item.height + " pixels" +
      (item.width <= side && item.height <= side ? "" : "; shown is the middle");
    $("facts").replaceChildren(add(make("thead"), row(["", "bytes",
      ...shown.map(([, m]) => m.head), "setting"], "th")), add(make("tbody"), ...facts));
    $("map").src = layer("codes").source;
    stage();
  }
  function view(size, ...children) {
    const box = add(make("div", null, { className: "view" }), ...children);
    box.style.width = size.width + "px";
    box.style.height = size.height + "px";
    return box;
  }
  function stage() {
    clearInterval(state.timer);
    state.flipped = false;
    document.querySelectorAll("[data-mode]").forEach((b) =>
      b.setAttribute("aria-pressed", b.dataset.mode === state.mode));
    const a = $("a").value, b = $("b").value, item = items[state.picture];
    const room = Math.min(WIDEST, document.body.clientWidth - 40);
    const wide = Math.min(item.width, side), high = Math.min(item.height, side);
    const half = state.mode === "beside" ? 0.6 : 1;
    const zoom = Math.min(room * half / wide, 512 * half / high);
    const size = { width: Math.round(wide * zoom), height: Math.round(high * zoom) };
    $("position").disabled = state.mode !== "slider";
    if (state.mode === "beside") {
      $("views").replaceChildren(view(size, picture(a), tag(a, "a")),
        view(size, picture(b), tag(b, "a")));
      return;
    }
    const over = picture(b, "over"), tags = [tag(a, "a"), tag(b, "b")];
    const handle = make("div", null, { className: "handle" });
    const box = view(size, picture(a), over, ...tags);
    $("views").replaceChildren(box);
    if (state.mode === "flicker") {
      const flip = () => {
        over.style.visibility = state.flipped ? "visible" : "hidden";
        tags[0].hidden = state.flipped;
        tags[1].hidden = !state.flipped;
        state.flipped = !state.flipped;
      };
      flip();
      state.timer = setInterval(flip, FLICKER_MS);
      return;
    }
    box.append(handle);
    const drag = (event) => {
      const edge = box.getBoundingClientRect();
      divide(100 * (event.clientX - edge.left) / edge.width);
    };
    box.addEventListener("pointerdown", (event) => {
      box.setPointerCapture(event.pointerId);
      drag(event);
    });
    box.addEventListener("pointermove", (event) => { if (event.buttons) drag(event); });
    divide(state.position);
  }
  function divide(percent) {
    state.position = Math.max(0, Math.min(100, percent));
    $("position").value = state.position;
    const over = document.querySelector(".view .over");
    const handle = document.querySelector(".handle");
    if (over) over.style.clipPath = "inset(0 0 0 " + state.position + "%)";
    if (handle) handle.style.left = state.position + "%";
  }

  for (const id of ["a", "b"]) $(id).addEventListener("change", stage);
  $("position").addEventListener("input", () => divide(Number($("position").value)));
  document.querySelectorAll("[data-mode]").forEach((b) => b.addEventListener("click", () => {
    state.mode = b.dataset.mode;
    stage();
  }));
  show(0);
};
