/** Control-C while a guest runs: the run ends at the next slice, and what is known by then is told. */

/** @param body is given what tells whether Control-C has been heard since it began. */
export async function hearingInterrupts<T>(body: (interrupted: () => boolean) => Promise<T>): Promise<T> {
  let heard = false;
  const onInterrupt = (): void => {
    heard = true;
  };
  process.on('SIGINT', onInterrupt);
  try {
    return await body(() => heard);
  } finally {
    process.off('SIGINT', onInterrupt);
  }
}
