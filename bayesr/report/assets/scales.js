/* Scales of the axes of `charts.js`: formatted numbers, round ticks, and the coordinate of a value. */
"use strict";

const bayesrScales = (function () {
  const present = (value) => typeof value === "string" || Number.isFinite(value);
  const isNamed = (values) => values.some((value) => typeof value === "string");
  const power = (n) => "10" + String(n).replace(/./g, (sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign]));

  function format(value, digits = 4) {
    if (!present(value)) return "–";
    const size = Math.abs(value);
    if (typeof value === "string" || size === 0) return String(value);
    if (value < 0) return "−" + format(size, digits);
    if (size < 1e6 && size >= 1e-4) return String(Number(size.toPrecision(Math.max(digits, Math.ceil(Math.log10(size + 1))))));
    const exponent = Math.floor(Math.log10(size) + 1e-9);
    const factor = Number((size / 10 ** exponent).toPrecision(3));
    return (factor === 1 ? "" : factor + "×") + power(exponent);
  }

  function linearTicks(low, high, count) {
    const raw = (high - low) / Math.max(count, 1), magnitude = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].find((factor) => factor * magnitude >= raw * 0.999) * magnitude;
    const first = Math.ceil(low / step - 1e-6), steps = Math.floor(high / step + 1e-6) - first;
    return Array.from({ length: steps + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
  }

  function logTicks(low, high, count) {
    const first = Math.floor(Math.log10(low)), decades = Math.ceil(Math.log10(high)) - first + 1;
    const patterns = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 5], [1, 3], [1]].map((factors) => [factors, 1]);
    for (const [factors, every] of [...patterns, [[1], 2], [[1], 3], [[1], 5]]) {
      const exponents = Array.from({ length: Math.ceil(decades / every) }, (_, i) => first + i * every);
      const ticks = exponents.flatMap((exponent) => factors.map((factor) => Number((factor * 10 ** exponent).toPrecision(12))));
      const inside = ticks.filter((tick) => tick >= low && tick <= high);
      if (inside.length <= count + 1) return inside.length > 1 ? inside : linearTicks(low, high, count).filter((tick) => tick > 0);
    }
    return [low, high];
  }

  /* The scale of one axis: `at` maps a value to a coordinate; the ticks have texts. */
  function scale(axis, values, from, to, spacing) {
    const strings = [...new Set(values.filter((value) => typeof value === "string"))];
    if (strings.length) {
      const room = (to - from) / strings.length;
      const at = (name) => from + room * (strings.indexOf(name) + 0.5);
      return { names: true, room: Math.abs(room), ticks: strings.map((name) => [name, name]), at, has: present };
    }
    const has = (value) => Number.isFinite(value) && (!axis.log || value > 0);
    const numbers = values.concat((axis.marks || []).map((mark) => mark.at), axis.zero ? 0 : []).filter(has);
    let [low, high] = numbers.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
    if (!numbers.length) [low, high] = [1, 10];
    const forward = axis.log ? Math.log10 : (value) => value, backward = axis.log ? (value) => 10 ** value : (value) => value;
    const extent = forward(high) - forward(low), lone = axis.log ? 0.3 : Math.abs(high) * 0.1 || 1;
    const margin = !extent ? lone : axis.tight ? 0 : extent * 0.06;
    if (!(axis.zero && low === 0)) low = backward(forward(low) - margin);
    if (!(axis.zero && high === 0)) high = backward(forward(high) + margin);
    low = axis.min ?? low;
    high = axis.max ?? high;
    const at = (value) => from + ((forward(value) - forward(low)) / (forward(high) - forward(low))) * (to - from);
    const count = Math.max(Math.abs(to - from) / spacing, 2);
    const ticks = (axis.log ? logTicks : linearTicks)(low, high, count).map((tick) => [tick, format(tick)]);
    return { at, has, low, high, ticks };
  }

  return { format, isNamed, present, scale };
})();
