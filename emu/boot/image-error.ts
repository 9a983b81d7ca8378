/** An image file that cannot be used. The message is one sentence: what was expected, what was found. */
export class ImageError extends Error {
  override readonly name = 'ImageError';
}
