// Code files as NumPy's archives: the arrays that vqcodec/files/npz.py reads and writes.

const CRC_TABLE = Uint32Array.from({length: 256}, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xEDB88320 ^ (byte >>> 1) : byte >>> 1;
  return byte;
});

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

async function deflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// An array in NumPy's own format: a header of text, filled up with blanks, and the numbers.
function npy(descr, shape, numbers) {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const size = Math.ceil((11 + text.length) / 64) * 64;
  const header = new TextEncoder().encode(text.padEnd(size - 11) + "\n");
  const bytes = new Uint8Array(size + numbers.byteLength);
  bytes.set([0x93, 78, 85, 77, 80, 89, 1, 0, header.length & 255, header.length >> 8]);
  bytes.set(header, 10);
  bytes.set(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength), size);
  return bytes;
}

// The numbers of little-endian records of `fields`, [value, bytes] each.
function record(fields) {
  return fields.flatMap(([value, size]) =>
    Array.from({length: size}, (_, i) => Math.floor(value / 256 ** i) & 255));
}

async function zip(members) {
  const parts = [], directory = [];
  let place = 0;
  for (const [name, data] of members) {
    const packed = await deflated(data), letters = new TextEncoder().encode(name);
    // deflated; 1 January 1980: the clock has no business in the file
    const told = [[20, 2], [0, 2], [8, 2], [0, 2], [33, 2], [crc32(data), 4],
      [packed.length, 4], [data.length, 4], [letters.length, 2], [0, 2]];
    const local = new Uint8Array(record([[0x04034B50, 4], ...told]));
    const rest = [[0, 2], [0, 2], [0, 2], [0, 4], [place, 4]];
    directory.push(new Uint8Array(record([[0x02014B50, 4], [20, 2], ...told, ...rest])), letters);
    parts.push(local, letters, packed);
    place += local.length + letters.length + packed.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = [[0x06054B50, 4], [0, 2], [0, 2], [members.length, 2], [members.length, 2],
    [size, 4], [place, 4], [0, 2]];
  return new Blob([...parts, ...directory, new Uint8Array(record(end))]);
}

// Index maps, {shape, indices} each, of a picture of `size` as a code file.
function codeFile(facts, grids, size) {
  const meta = {
    format: facts.format, model: facts.model, codebook_id: facts.codebook_id,
    codebook_sizes: facts.maps.map(spec => spec.codebook_size), axes: facts.axes,
    modality: facts.modality, size, coded_size: size, alpha: false,
  };
  const text = JSON.stringify(meta);
  const letters = Uint32Array.from(text, letter => letter.codePointAt(0));
  const names = grids.map((_, i) => grids.length === 1 ? "indices.npy" : `indices_${i}.npy`);
  return zip([
    ...grids.map((grid, i) => [names[i], npy("<u2", grid.shape, grid.indices)]),
    ["meta.npy", npy(`<U${text.length}`, [], letters)],
  ]);
}
