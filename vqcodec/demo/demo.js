// The page: takes a picture, shows what becomes of it, offers its codes to save.

const LIMIT = 16;  // megapixels: larger ones take minutes, and much memory
const SMALL = 400;  // pixels: pictures below are shown pixel by pixel
const facts = JSON.parse(document.getElementById("facts").textContent);
const codec = Codec.open(facts);
let turn = 0;  // counts the pictures: a new one stops the work on the one before

function element(id) { return document.getElementById(id); }

function number(value, digits = 0) {
  return value.toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits});
}

// A trouble that the reader can mend, in a sentence.
class Problem extends Error {}

function tell(status, done = null) {
  element("status").textContent = status;
  element("progress").hidden = done === null;
  if (done !== null) element("progress").value = done;
}

// The pixels of a file, (height, width, 3), turned upright, in sRGB, on white.
async function opened(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Problem(`${file.name}: not a picture that this browser can open.`);
  }
  const {width, height} = bitmap;
  if (width * height > LIMIT * 1e6) {
    throw new Problem(`${file.name}: has ${number(width * height / 1e6, 1)} megapixels, and this ` +
      `page takes up to ${LIMIT}; the command vqcodec encode takes more.`);
  }
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const {data} = context.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(width * height * 3);
  for (let i = 0, j = 0; i < data.length; i += 4) {
    for (let c = 0; c < 3; c++) pixels[j++] = data[i + c];
  }
  return [pixels, [height, width]];
}

function psnr(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return 10 * Math.log10(255 ** 2 * a.length / sum);
}

function card(label, value, under) {
  const found = document.createElement("div");
  found.className = "card";
  for (const [tag, text] of [["small", label], ["b", value], ["small", under]]) {
    found.append(Object.assign(document.createElement(tag), {textContent: text}));
  }
  return found;
}

// A picture with a caption: colours of (height, width, 3).
function view(colours, [height, width], caption, pixelated) {
  const canvas = Object.assign(document.createElement("canvas"), {width, height});
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (let i = 0, j = 0; i < image.data.length; i += 4) {
    for (let c = 0; c < 3; c++) image.data[i + c] = colours[j++];
    image.data[i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  canvas.classList.toggle("pixels", pixelated || width < SMALL);
  canvas.role = "img";
  canvas.ariaLabel = caption;
  const figure = document.createElement("figure");
  figure.append(
    canvas, Object.assign(document.createElement("figcaption"), {textContent: caption}));
  return figure;
}

function codeMap({shape, indices}, level) {
  const spec = facts.maps[level], [down, across] = spec.stride;
  const colours = Uint8Array.from(Array.from(indices).flatMap(i => facts.colours[level][i]));
  const caption = `Code map: ${number(shape[1])}×${number(shape[0])} indices below ` +
    `${number(spec.codebook_size)}, one for ${across}×${down} pixels, each in the colour that ` +
    "it decodes to on its own";
  return view(colours, shape, caption, true);
}

function packedBits(grids) {
  return grids.reduce((sum, grid, i) =>
    sum + grid.indices.length * Math.ceil(Math.log2(facts.maps[i].codebook_size)), 0);
}

async function show(file) {
  const mine = ++turn;
  const moved = (label, from) => async done => {
    tell(label, from + done / 2);
    await new Promise(resolve => setTimeout(resolve));  // the page is drawn meanwhile
    if (mine !== turn) throw new DOMException("another picture came", "AbortError");
  };
  element("problem").textContent = "";
  element("result").hidden = true;
  tell(`Opening ${file.name} …`, 0);
  const [pixels, size] = await opened(file);
  const ready = await codec, started = performance.now();
  await moved(`Encoding ${file.name} …`, 0)(0);
  const grids = await ready.encode(pixels, size, moved(`Encoding ${file.name} …`, 0));
  const decoded = await ready.decode(grids, size, moved(`Decoding ${file.name} …`, 0.5));
  const seconds = (performance.now() - started) / 1000;
  const data = await codeFile(facts, grids, size);
  const packed = Math.ceil(packedBits(grids) / 8), raw = pixels.length;
  element("cards").replaceChildren(
    card("Pixels", `${number(raw)} bytes`, `${number(size[1])}×${number(size[0])} of 3 bytes`),
    card("Indices", `${number(packed)} bytes`, `packed: ${number(raw / packed, 1)} times smaller`),
    card("File", `${number(data.size)} bytes`, `.npz: ${number(raw / data.size, 1)} times smaller`),
    card("Likeness", `${number(psnr(pixels, decoded), 2)} dB`, "PSNR of what comes back"));
  element("views").replaceChildren(
    view(pixels, size, "Original", false), ...grids.map(codeMap),
    view(decoded, size, "What is decoded from the code map", false));
  const name = file.name.replace(/\.[^.]*$/, "") + ".npz";
  URL.revokeObjectURL(element("save").href);
  Object.assign(element("save"),
    {href: URL.createObjectURL(data), download: name, textContent: `Save ${name}`});
  element("command").textContent = `vqcodec decode ${name}`;
  element("result").hidden = false;
  tell(`${file.name}: coded and decoded in ${number(seconds, 1)} s.`);
}

async function start(file) {
  try {
    if (!file) throw new Problem("That was no file: drop a picture from a folder.");
    await show(file);
  } catch (error) {
    if (error.name === "AbortError") return;
    const said = error instanceof Problem ? error.message :
      `This browser cannot compute the codes (${error.message}); a newer one may.`;
    element("problem").textContent = said;
    tell("Ready.");
  }
}

function listen() {
  const drop = element("drop"), input = element("file");
  input.addEventListener("change", () => { if (input.files.length) start(input.files[0]); });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, event => {
      event.preventDefault();  // or the browser would leave the page for the picture
      drop.classList.toggle("over", kind === "dragover");
    });
  }
  document.addEventListener("drop", event => start(event.dataTransfer.files[0]));
}

function introduce() {
  const bits = facts.maps.reduce((sum, spec) =>
    sum + Math.ceil(Math.log2(spec.codebook_size)) / (spec.stride[0] * spec.stride[1]), 0);
  const codes = facts.maps.map(spec =>
    `one of ${number(spec.codebook_size)} for ${spec.stride[1]}×${spec.stride[0]} pixels`);
  element("about").textContent = `The model ${facts.model} (codebook ${facts.codebook_id}) turns ` +
    `a picture into indices, ${codes.join(", ")}, and back: ${number(bits, 4)} bits a pixel ` +
    `instead of 24, ${number(24 / bits, 2)} times smaller before any entropy coding.`;
  element("runtime").textContent = facts.runtime;
}

introduce();
listen();
codec.then(() => { if (!turn) tell("Ready."); element("file").disabled = false; }, error => {
  element("problem").textContent =
    `This browser cannot run the codec (${error.message}); a newer one may.`;
  tell("");
});
