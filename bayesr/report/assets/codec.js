/* Decoder of the maps that bayesr/report/planes.py encodes: base 64, deflate, residuals of a median predictor, codes. */
"use strict";

const bayesr = { data: JSON.parse(document.getElementById("data").textContent) };

(function () {
  function bytes(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const binary = atob(text);
    const out = new Uint8Array(binary.length);
    for (let i = 0; i < out.length; i++) out[i] = binary.charCodeAt(i);
    return out;
  }

  async function inflated(packed) {
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  /* {bands, height, width, root, step, t}: t is a Float32Array of values, or of signed roots where root is true. */
  async function decode(plane) {
    const [bands, height, width] = plane.shape;
    const raw = await inflated(bytes(plane.data));
    const count = bands * height * width;
    const codes = new Uint16Array(count), t = new Float32Array(count);
    let i = 0;
    for (let band = 0; band < bands; band++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++, i++) {
          const folded = (raw[i] << 8) | raw[count + i];
          const left = x ? codes[i - 1] : 0, above = y ? codes[i - width] : 0, corner = x && y ? codes[i - width - 1] : 0;
          const low = Math.min(left, above), high = Math.max(left, above);
          const prediction = Math.min(Math.max(left + above - corner, low), high);
          codes[i] = prediction + ((folded >> 1) ^ -(folded & 1)); // modulo 2^16, by the type of the array
          t[i] = codes[i] ? plane.low + (codes[i] - 1) * plane.step : NaN;
        }
      }
    }
    return { bands, height, width, root: plane.root, step: plane.step, t };
  }

  /* A member's codes, band after band, 0 to 255; three bands are one colour picture, others are grey pictures one after the other along their shorter side. */
  async function picture(text, bands, height, width) {
    const bitmap = await createImageBitmap(new Blob([bytes(text)], { type: "image/webp" }));
    const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const rgba = context.getImageData(0, 0, bitmap.width, bitmap.height).data, size = height * width;
    if (bitmap.width * bitmap.height !== (bands === 3 ? size : bands * size)) throw new Error(`a member has ${bitmap.width} x ${bitmap.height} pixels`);
    const codes = new Uint8Array(bands * size);
    for (let i = 0; i < codes.length; i++) {
      const band = Math.floor(i / size), at = i % size, x = at % width;
      if (bands === 3) codes[i] = rgba[4 * at + band];
      else codes[i] = rgba[4 * (height <= width ? i : ((at - x) / width) * bands * width + band * width + x)];
    }
    return codes;
  }

  Object.assign(bayesr, { decode, picture });
})();
