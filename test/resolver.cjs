// Sources import './x.js', which TypeScript resolves to './x.ts'; Jest runs the sources, so it must do the same.
// Packages are left alone: their './x.js' really is JavaScript.
module.exports = (request, options) => {
  if (/^\.{1,2}\/.*\.js$/.test(request) && !options.basedir.includes('node_modules')) {
    try {
      return options.defaultResolver(request.replace(/\.js$/, '.ts'), options);
    } catch {
      // A JavaScript file of our own.
    }
  }
  return options.defaultResolver(request, options);
};
