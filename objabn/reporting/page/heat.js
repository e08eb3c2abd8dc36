// Maps over frames: cells of bytes enlarged smoothly, coloured, and outlined where they cross a threshold.

const FINE = 64; // cells along each side to which a map is enlarged before it is coloured

class HeatMap {
  constructor({ range, rows, columns, cells }, colours) {
    this.range = range;
    this.rows = rows;
    this.columns = columns;
    this.encoded = cells;
    this.colours = colours;
    this.height = Math.max(FINE, rows);
    this.width = Math.max(FINE, columns);
    this.field = new Float32Array(this.height * this.width);
    this.canvas = null;
    this.frame = -1;
  }

  // Enlarges one frame linearly between the centres of its cells, and colours it.
  show(frame) {
    if (this.frame === frame) return;
    if (!this.canvas) {
      this.cells = bytes(this.encoded);
      this.canvas = element("canvas", { width: this.width, height: this.height });
      this.image = new ImageData(this.width, this.height);
      this.across = neighbours(this.width, this.columns);
      this.down = neighbours(this.height, this.rows);
    }
    this.frame = frame;
    const { cells, field, across, down, columns, width, colours } = this;
    const pixels = this.image.data;
    const start = frame * this.rows * columns;
    for (let place = 0; place < field.length; place++) {
      const [above, below, towardsBelow] = down[Math.floor(place / width)];
      const [left, right, towardsRight] = across[place % width];
      const between = (row) => {
        const first = cells[start + row * columns + left];
        return first + (cells[start + row * columns + right] - first) * towardsRight;
      };
      const upper = between(above);
      const value = upper + (between(below) - upper) * towardsBelow;
      field[place] = value / 255;
      const colour = 3 * Math.round(value);
      pixels[4 * place] = colours[colour];
      pixels[4 * place + 1] = colours[colour + 1];
      pixels[4 * place + 2] = colours[colour + 2];
      // Low values cover less, so that what is not attended to can still be seen.
      pixels[4 * place + 3] = 90 + 165 * value / 255;
    }
    this.canvas.getContext("2d").putImageData(this.image, 0, 0);
  }

  draw(context, width, height, opacity, threshold) {
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = true;
    context.drawImage(this.canvas, 0, 0, width, height);
    context.globalAlpha = 1;
    if (threshold > 0) this.outline(context, width, height, threshold);
  }

  // A line of white on dark along the threshold, from square to square of neighbouring field values.
  outline(context, width, height, threshold) {
    const path = new Path2D();
    const stepX = width / this.width;
    const stepY = height / this.height;
    for (let row = 0; row + 1 < this.height; row++) {
      for (let column = 0; column + 1 < this.width; column++) {
        const ends = this.crossings(row, column, threshold);
        for (let end = 0; end + 1 < ends.length; end += 2) {
          path.moveTo((ends[end][0] + 0.5) * stepX, (ends[end][1] + 0.5) * stepY);
          path.lineTo((ends[end + 1][0] + 0.5) * stepX, (ends[end + 1][1] + 0.5) * stepY);
        }
      }
    }
    context.lineCap = "round";
    const thickness = Math.max(1, width / 160);
    for (const [style, times] of [["rgb(0 0 0 / 55%)", 2.4], ["white", 1]]) {
      context.strokeStyle = style;
      context.lineWidth = thickness * times;
      context.stroke(path);
    }
  }

  // Where the threshold crosses the sides of the square of four values: none, two or four points.
  crossings(row, column, threshold) {
    const at = (down, right) => this.field[(row + down) * this.width + column + right] - threshold;
    const [a, b, c, d] = [at(0, 0), at(0, 1), at(1, 1), at(1, 0)];
    const points = [];
    if (a >= 0 !== b >= 0) points.push([column + a / (a - b), row]);
    if (b >= 0 !== c >= 0) points.push([column + 1, row + b / (b - c)]);
    if (c >= 0 !== d >= 0) points.push([column + d / (d - c), row + 1]);
    if (d >= 0 !== a >= 0) points.push([column, row + a / (a - d)]);
    return points;
  }
}

// For each of `fine` positions the two cells beside it and how far it lies towards the second.
function neighbours(fine, cells) {
  return Array.from({ length: fine }, (_, place) => {
    const position = Math.min(Math.max((place + 0.5) * cells / fine - 0.5, 0), cells - 1);
    const first = Math.floor(position);
    return [first, Math.min(first + 1, cells - 1), position - first];
  });
}

// The scale of colours from 0 to 1.
function heatScale(colours) {
  const canvas = element("canvas", { class: "scale", width: 256, height: 1, role: "img", "aria-label": "Colours of a map, from low to high" });
  const image = new ImageData(256, 1);
  for (let value = 0; value < 256; value++) image.data.set([...colours.subarray(3 * value, 3 * value + 3), 255], 4 * value);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
