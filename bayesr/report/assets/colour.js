/* Colours of maps. Sequential: viridis (S. van der Walt, N. Smith, 2015). Diverging: blue to brown through near white, of
 * equal steps of lightness in OKLab (B. Ottosson, 2020), so that both sides have equal weight. Readers with any of the
 * common colour vision deficiencies can distinguish them. */
"use strict";

(function () {
  const KNOTS = {
    viridis: "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 84d44b addc30 d8e219 fde725",
    diverging: "114c8f 2760a4 3b74ba 4f89d1 649ee7 84b3f0 a7c9f4 ccddf4 f2f2f2 f1d5c7 edb99e e59d77 d98253 c36d3e ac5928 96450f 803100",
    grey: "000000 ffffff",
  };
  const NEUTRAL = [128, 132, 138]; // for values that are too uncertain to read
  const STATES = [[0, 0, 0], [226, 228, 230], [39, 96, 164], [195, 88, 30]]; // nothing, inside, below, above
  const LEVELS = 5;

  const tables = {};
  for (const [name, text] of Object.entries(KNOTS)) {
    const knots = text.split(" ").map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
    const table = new Uint8Array(3 * 256);
    for (let i = 0; i < 256; i++) {
      const at = (i / 255) * (knots.length - 1), k = Math.min(Math.floor(at), knots.length - 2);
      for (let c = 0; c < 3; c++) table[3 * i + c] = Math.round(knots[k][c] + (at - k) * (knots[k + 1][c] - knots[k][c]));
    }
    tables[name] = table;
  }

  const index = (value, low, high) => Math.max(0, Math.min(255, Math.round(((value - low) / (high - low || 1)) * 255)));

  /* A canvas with one pixel per value; NaN is transparent. rgb(i, out) writes the colour of value i, or returns false. */
  function canvas(height, width, rgb) {
    const made = Object.assign(document.createElement("canvas"), { width, height });
    const context = made.getContext("2d"), image = context.createImageData(width, height), out = [0, 0, 0];
    for (let i = 0; i < height * width; i++) {
      if (rgb(i, out) === false) continue;
      image.data[4 * i] = out[0];
      image.data[4 * i + 1] = out[1];
      image.data[4 * i + 2] = out[2];
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    return made;
  }

  function byTable(name, low, high, values) {
    const table = tables[name];
    return (i, out) => {
      if (!(values[i] === values[i])) return false;
      const at = 3 * index(values[i], low, high);
      out[0] = table[at];
      out[1] = table[at + 1];
      out[2] = table[at + 2];
    };
  }

  /* Three bands as red, green, blue. */
  function byBands(low, high, bands) {
    return (i, out) => {
      for (let c = 0; c < 3; c++) {
        if (!(bands[c][i] === bands[c][i])) return false;
        out[c] = index(bands[c][i], low, high);
      }
    };
  }

  const byState = (values) => (i, out) => {
    if (!(values[i] > 0)) return false;
    for (let c = 0; c < 3; c++) out[c] = STATES[values[i]][c];
  };

  /* The fading of a colour, in LEVELS steps, for a std from 0 to high. */
  const fading = (std, high) => Math.min(LEVELS - 1, Math.floor((std / high) * LEVELS)) / (LEVELS - 1);

  /* Values fade to a neutral grey in steps as their uncertainty grows, after M. Correll, D. Moritz, J. Heer,
   * "Value-suppressing uncertainty palettes", 2018, doi:10.1145/3173574.3174216. */
  const byFading = (inner, std, high) => (i, out) => {
    if (inner(i, out) === false) return false;
    const share = std[i] === std[i] ? fading(std[i], high) : 1;
    for (let c = 0; c < 3; c++) out[c] += share * (NEUTRAL[c] - out[c]);
  };

  const hex = (rgb) => `rgb(${rgb.join(" ")})`;
  const stateColours = { inside: hex(STATES[1]), below: hex(STATES[2]), above: hex(STATES[3]) };
  Object.assign(bayesr, { colour: { canvas, byTable, byBands, byState, byFading, stateColours, LEVELS } });
})();
