// @ts-check
/**
 * node:http hands over an upload in chunks, and each chunk is a Buffer of V8: after it has been copied it is garbage,
 * as many bytes of it as are uploaded. A service that keeps its bodies out of the collector's way throws the chunks
 * away by hand as well: memory that is transferred to a closed port has no owner any more and is freed at once.
 */
const { port1: closedPort } = new MessageChannel();
closedPort.close();

/**
 * Frees the memory of a chunk that nobody will look at again. Afterwards its length is 0.
 *
 * @param {Buffer} chunk
 */
export function throwAway(chunk) {
  const { buffer } = chunk;
  // A chunk that shares its memory with others is left to the collector.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === chunk.byteLength) {
    closedPort.postMessage(undefined, [buffer]);
  }
}
