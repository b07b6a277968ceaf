"use strict";
// MessagePack, the subset of the protocol: nil, booleans, numbers, text, bytes, lists, maps.

function pack(value) {
  const bytes = [];
  const text = new TextEncoder();
  const number = (size, set) => {
    const view = new DataView(new ArrayBuffer(size));
    set(view);
    for (let i = 0; i < size; i++) bytes.push(view.getUint8(i));
  };
  const header = (length, small, kinds) => {
    if (small !== null && length < small.below) bytes.push(small.base | length);
    else if (length < 256 && kinds[0]) bytes.push(kinds[0], length);
    else if (length < 65536) { bytes.push(kinds[1]); number(2, (v) => v.setUint16(0, length)); }
    else { bytes.push(kinds[2]); number(4, (v) => v.setUint32(0, length)); }
  };
  const write = (value) => {
    if (value === null || value === undefined) bytes.push(0xc0);
    else if (typeof value === "boolean") bytes.push(value ? 0xc3 : 0xc2);
    else if (typeof value === "number") {
      if (Number.isInteger(value) && value >= 0 && value < 128) bytes.push(value);
      else if (Number.isInteger(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER) {
        bytes.push(0xd3);
        number(8, (v) => v.setBigInt64(0, BigInt(value)));
      } else { bytes.push(0xcb); number(8, (v) => v.setFloat64(0, value)); }
    } else if (typeof value === "string") {
      const encoded = text.encode(value);
      header(encoded.length, { base: 0xa0, below: 32 }, [0xd9, 0xda, 0xdb]);
      for (const byte of encoded) bytes.push(byte);
    } else if (value instanceof Uint8Array) {
      header(value.length, null, [0xc4, 0xc5, 0xc6]);
      for (const byte of value) bytes.push(byte);
    } else if (Array.isArray(value)) {
      header(value.length, { base: 0x90, below: 16 }, [0, 0xdc, 0xdd]);
      value.forEach(write);
    } else {
      const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
      header(entries.length, { base: 0x80, below: 16 }, [0, 0xde, 0xdf]);
      for (const [key, inner] of entries) { write(key); write(inner); }
    }
  };
  write(value);
  return new Uint8Array(bytes);
}

function unpack(buffer) {
  const view = new DataView(buffer);
  const text = new TextDecoder();
  let position = 0;
  const advance = (size) => { position += size; return position - size; };
  const lengths = { 8: () => view.getUint8(advance(1)), 16: () => view.getUint16(advance(2)), 32: () => view.getUint32(advance(4)) };
  const bytes = (length) => new Uint8Array(buffer, advance(length), length);
  const list = (length) => Array.from({ length }, read);
  const map = (length) => {
    const result = Object.create(null); // so that no key names the prototype
    for (let i = 0; i < length; i++) { const key = read(); result[key] = read(); }
    return result;
  };
  const readers = {
    0xc0: () => null, 0xc2: () => false, 0xc3: () => true,
    0xc4: () => bytes(lengths[8]()), 0xc5: () => bytes(lengths[16]()), 0xc6: () => bytes(lengths[32]()),
    0xca: () => view.getFloat32(advance(4)), 0xcb: () => view.getFloat64(advance(8)),
    0xcc: () => lengths[8](), 0xcd: () => lengths[16](), 0xce: () => lengths[32](),
    0xcf: () => Number(view.getBigUint64(advance(8))),
    0xd0: () => view.getInt8(advance(1)), 0xd1: () => view.getInt16(advance(2)), 0xd2: () => view.getInt32(advance(4)),
    0xd3: () => Number(view.getBigInt64(advance(8))),
    0xd9: () => text.decode(bytes(lengths[8]())), 0xda: () => text.decode(bytes(lengths[16]())),
    0xdb: () => text.decode(bytes(lengths[32]())),
    0xdc: () => list(lengths[16]()), 0xdd: () => list(lengths[32]()),
    0xde: () => map(lengths[16]()), 0xdf: () => map(lengths[32]()),
  };
  function read() {
    const kind = view.getUint8(advance(1));
    if (kind < 0x80) return kind;
    if (kind < 0x90) return map(kind & 15);
    if (kind < 0xa0) return list(kind & 15);
    if (kind < 0xc0) return text.decode(bytes(kind & 31));
    if (kind >= 0xe0) return kind - 256;
    if (!(kind in readers)) throw new Error("not MessagePack");
    return readers[kind]();
  }
  return read();
}
