/**
 * Bytes that come in pieces, as one buffer. A single piece is kept as it is; from the second on they are copied together,
 * so that a peer who sends a body byte by byte costs no more memory than the body has.
 */
export class ByteCollector {
  #bytes: Buffer | null = null;
  #length = 0;
  #own = false;

  get length(): number {
    return this.#length;
  }

  add(piece: Buffer): void {
    if (piece.length === 0) return;
    if (this.#bytes === null) {
      this.#bytes = piece;
      this.#length = piece.length;
      return;
    }
    const length = this.#length + piece.length;
    if (!this.#own || length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(1_024, length * 2));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
      this.#own = true;
    }
    piece.copy(this.#bytes, this.#length);
    this.#length = length;
  }

  /** All that was added since the last call. The buffer is the caller's. */
  take(): Buffer {
    const bytes = this.#bytes?.subarray(0, this.#length) ?? Buffer.alloc(0);
    this.#bytes = null;
    this.#length = 0;
    this.#own = false;
    return bytes;
  }
}
