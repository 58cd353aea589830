"""Networks, one idea a file. They map tensors to tensors and know nothing of images, files or xarray."""
