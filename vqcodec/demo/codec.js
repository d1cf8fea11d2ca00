// A codec of pictures: a network's graphs, run tile by tile as vqcodec/codec/image.py does.

const WINDOW = 96;  // cells of the finest map along a side of a tile: half a second of work

// What an element holds: compressed bytes as text. They are taken out of the page.
async function unpacked(id) {
  const element = document.getElementById(id);
  const packed = await fetch(`data:application/gzip;base64,${element.textContent.trim()}`);
  element.remove();
  const stream = packed.body.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Along one axis, in cells: compute start to stop, keep keepStart to keepStop.
// See vqcodec/codec/tiles.py.
function spans(total, most, halo) {
  if (total <= most) return [{start: 0, stop: total, keepStart: 0, keepStop: total}];
  const number = Math.ceil((total - 2 * halo) / (most - 2 * halo));
  const size = Math.ceil((total + 2 * halo * (number - 1)) / number);
  const found = [];
  for (let kept = 0; kept < total;) {
    const start = Math.max(0, Math.min(kept - halo, total - size)), stop = start + size;
    const keepStop = stop === total ? total : stop - halo;
    found.push({start, stop, keepStart: kept, keepStop});
    kept = keepStop;
  }
  return found;
}

function scaled(span, ratio) {
  return Object.fromEntries(Object.entries(span).map(([end, cells]) => [end, cells * ratio]));
}

// The part of an array, (height, width, channels), that rows and columns compute; beyond its end
// the last row or column goes on.
function take(array, [height, width], rows, columns, channels) {
  const found = new array.constructor(
    (rows.stop - rows.start) * (columns.stop - columns.start) * channels);
  let place = 0;
  for (let y = rows.start; y < rows.stop; y++) {
    const line = Math.min(y, height - 1) * width;
    for (let x = columns.start; x < columns.stop; x++) {
      const from = (line + Math.min(x, width - 1)) * channels;
      for (let c = 0; c < channels; c++) found[place++] = array[from + c];
    }
  }
  return found;
}

// Puts what rows and columns keep of a part into an array; what lies beyond its end goes.
function put(array, [height, width], part, rows, columns, channels) {
  const across = columns.stop - columns.start;
  const end = Math.min(columns.keepStop, width);
  for (let y = rows.keepStart; y < Math.min(rows.keepStop, height); y++) {
    const from = (y - rows.start) * across - columns.start;
    array.set(
      part.subarray((from + columns.keepStart) * channels, (from + end) * channels),
      (y * width + columns.keepStart) * channels);
  }
}

class Codec {
  static async open(facts) {
    const source = new Blob([await unpacked("runtime-code")], {type: "text/javascript"});
    const ort = await import(URL.createObjectURL(source));
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = await unpacked("wasm");
    const graph = async id => ort.InferenceSession.create(await unpacked(id));
    return new Codec(facts, ort, await graph("encoder"), await graph("decoder"));
  }

  constructor(facts, ort, encoder, decoder) {
    Object.assign(this, {facts, ort, encoder, decoder});
    this.coarse = facts.maps[0].stride;
  }

  // The index maps of pixels, (height, width, 3); `report` is awaited with the fraction done.
  async encode(pixels, size, report) {
    const grids = this.facts.maps.map(({stride}) => {
      const shape = size.map((n, axis) => Math.ceil(n / stride[axis]));
      return {shape, indices: new Uint16Array(shape[0] * shape[1])};
    });
    await this._eachTile(size, this.facts.encoder_halo, report, async inCells => {
      const [rows, columns] = inCells([1, 1]);
      const window = take(pixels, size, rows, columns, 3);
      const shape = [1, rows.stop - rows.start, columns.stop - columns.start, 3];
      const found = await this.encoder.run({pixels: new this.ort.Tensor("uint8", window, shape)});
      grids.forEach((grid, i) => put(
        grid.indices, grid.shape, found[`map_${i}`].data, ...inCells(this.facts.maps[i].stride), 1));
    });
    return grids;
  }

  // The pixels, (height, width, 3), that index maps stand for.
  async decode(grids, size, report) {
    const pixels = new Uint8Array(size[0] * size[1] * 3);
    await this._eachTile(size, this.facts.decoder_halo, report, async inCells => {
      const given = {};
      grids.forEach((grid, i) => {
        const [rows, columns] = inCells(this.facts.maps[i].stride);
        const part = take(grid.indices, grid.shape, rows, columns, 1);
        const shape = [1, rows.stop - rows.start, columns.stop - columns.start];
        given[`map_${i}`] = new this.ort.Tensor("uint16", part, shape);
      });
      const {pixels: part} = await this.decoder.run(given);
      put(pixels, size, part.data, ...inCells([1, 1]), 3);
    });
    return pixels;
  }

  // Calls `work` for each tile, with a function that gives its rows and columns in cells of a
  // stride; tiles are made of cells of the coarsest map.
  async _eachTile(size, halo, report, work) {
    const finest = this.facts.maps.at(-1).stride;
    const most = Math.max(4 * halo, WINDOW / Math.max(...this.coarse.map((n, i) => n / finest[i])));
    const [down, across] = size.map((n, i) => spans(Math.ceil(n / this.coarse[i]), most, halo));
    let done = 0;
    for (const rows of down) {
      for (const columns of across) {
        await work(stride =>
          [rows, columns].map((span, i) => scaled(span, this.coarse[i] / stride[i])));
        await report(++done / (down.length * across.length));
      }
    }
  }
}
