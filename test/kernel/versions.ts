/** The versions of the mechanism, oldest first. Each is an image of its own: `build/kernel-VERSION.elf`. */
export const VERSIONS = ['v13-06', 'v13-06-nmi', 'v13-07', 'v13-08', 'v13-10', 'v6.17', 'v6.19'] as const;
export type Version = (typeof VERSIONS)[number];

/** This version and all after it. */
export const since = (version: Version): readonly Version[] => VERSIONS.slice(VERSIONS.indexOf(version));
/** All versions before this one. */
export const before = (version: Version): readonly Version[] => VERSIONS.slice(0, VERSIONS.indexOf(version));
/** From the first to the last of the two, both included. */
export const from = (first: Version, last: Version): readonly Version[] =>
  since(first).filter((version) => !since(last).includes(version) || version === last);
