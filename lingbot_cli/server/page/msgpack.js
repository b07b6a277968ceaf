"use strict";
// MessagePack, as much of it as the protocol needs: nil, booleans, numbers, text, bytes, lists, maps.

function pack(value) {
  const bytes = [];
  const text = new TextEncoder();
  const number = (size, write) => {
    const view = new DataView(new ArrayBuffer(size));
    write(view);
    for (let i = 0; i < size; i++) bytes.push(view.getUint8(i));
  };
  const head = (length, small, kinds) => {
    if (small !== null && length < small.below) bytes.push(small.base | length);
    else if (length < 256 && kinds[0]) bytes.push(kinds[0], length);
    else if (length < 65536) { bytes.push(kinds[1]); number(2, (v) => v.setUint16(0, length)); }
    else { bytes.push(kinds[2]); number(4, (v) => v.setUint32(0, length)); }
  };
  const put = (it) => {
    if (it === null || it === undefined) bytes.push(0xc0);
    else if (typeof it === "boolean") bytes.push(it ? 0xc3 : 0xc2);
    else if (typeof it === "number") {
      if (Number.isInteger(it) && it >= 0 && it < 128) bytes.push(it);
      else if (Number.isInteger(it) && Math.abs(it) <= Number.MAX_SAFE_INTEGER) {
        bytes.push(0xd3);
        number(8, (v) => v.setBigInt64(0, BigInt(it)));
      } else { bytes.push(0xcb); number(8, (v) => v.setFloat64(0, it)); }
    } else if (typeof it === "string") {
      const encoded = text.encode(it);
      head(encoded.length, { base: 0xa0, below: 32 }, [0xd9, 0xda, 0xdb]);
      for (const byte of encoded) bytes.push(byte);
    } else if (it instanceof Uint8Array) {
      head(it.length, null, [0xc4, 0xc5, 0xc6]);
      for (const byte of it) bytes.push(byte);
    } else if (Array.isArray(it)) {
      head(it.length, { base: 0x90, below: 16 }, [0, 0xdc, 0xdd]);
      it.forEach(put);
    } else {
      const entries = Object.entries(it).filter(([, inner]) => inner !== undefined);
      head(entries.length, { base: 0x80, below: 16 }, [0, 0xde, 0xdf]);
      for (const [key, inner] of entries) { put(key); put(inner); }
    }
  };
  put(value);
  return new Uint8Array(bytes);
}

function unpack(buffer) {
  const view = new DataView(buffer);
  const text = new TextDecoder();
  let at = 0;
  const take = (size) => { at += size; return at - size; };
  const sized = { 8: () => view.getUint8(take(1)), 16: () => view.getUint16(take(2)), 32: () => view.getUint32(take(4)) };
  const bytes = (length) => new Uint8Array(buffer, take(length), length);
  const list = (length) => Array.from({ length }, get);
  const map = (length) => {
    const made = {};
    for (let i = 0; i < length; i++) { const key = get(); made[key] = get(); }
    return made;
  };
  const plain = {
    0xc0: () => null, 0xc2: () => false, 0xc3: () => true,
    0xc4: () => bytes(sized[8]()), 0xc5: () => bytes(sized[16]()), 0xc6: () => bytes(sized[32]()),
    0xca: () => view.getFloat32(take(4)), 0xcb: () => view.getFloat64(take(8)),
    0xcc: () => sized[8](), 0xcd: () => sized[16](), 0xce: () => sized[32](),
    0xcf: () => Number(view.getBigUint64(take(8))),
    0xd0: () => view.getInt8(take(1)), 0xd1: () => view.getInt16(take(2)), 0xd2: () => view.getInt32(take(4)),
    0xd3: () => Number(view.getBigInt64(take(8))),
    0xd9: () => text.decode(bytes(sized[8]())), 0xda: () => text.decode(bytes(sized[16]())),
    0xdb: () => text.decode(bytes(sized[32]())),
    0xdc: () => list(sized[16]()), 0xdd: () => list(sized[32]()),
    0xde: () => map(sized[16]()), 0xdf: () => map(sized[32]()),
  };
  function get() {
    const kind = view.getUint8(take(1));
    if (kind < 0x80) return kind;
    if (kind < 0x90) return map(kind & 15);
    if (kind < 0xa0) return list(kind & 15);
    if (kind < 0xc0) return text.decode(bytes(kind & 31));
    if (kind >= 0xe0) return kind - 256;
    if (!(kind in plain)) throw new Error("not MessagePack");
    return plain[kind]();
  }
  return get();
}
