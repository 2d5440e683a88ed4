// tus_client.js ENDPOINT FILE URLS: uploads the file with tus-js-client, going on where the URL storage says an earlier run of this program was.
// Prints "at N" as bytes are accepted, "retry" before each retry, and last "done URL".
'use strict'
const fs = require('fs')
const tus = require('tus-js-client')
const [, , endpoint, file, urls] = process.argv

const upload = new tus.Upload(fs.createReadStream(file), {
  endpoint,
  metadata: { filename: 'big.bin' },
  urlStorage: new tus.FileUrlStorage(urls),
  retryDelays: [100, 200, 400, 800, 1600, 3200, 6400],
  onShouldRetry: () => { console.log('retry'); return true },
  onProgress: (sent) => console.log('at', sent),
  onError: (e) => { console.error(String(e)); process.exit(1) },
  onSuccess: () => { console.log('done', upload.url); process.exit(0) },
})
upload.findPreviousUploads().then((previous) => {
  if (previous.length > 0) upload.resumeFromPreviousUpload(previous[0])
  upload.start()
})
