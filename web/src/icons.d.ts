/** Element Plus's icons: the outlines of each by its name, on a field of 1024 × 1024. Made by icons.ts at build time. */
declare module 'virtual:icons' {
  const outlines: Record<string, string[]>
  export default outlines
}
