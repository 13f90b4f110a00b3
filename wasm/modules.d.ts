/** Built modules are embedded as files: the import is the path to read them from, on disk or in the binary. */
declare module "*.wasm" {
  const path: string;
  export default path;
}
declare module "*.sql" {
  const text: string;
  export default text;
}
declare module "*.html" {
  const text: string;
  export default text;
}
/** Names of AssemblyScript's number types, so that layout files compile under both compilers. */
type i32 = number;
