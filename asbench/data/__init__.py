"""A data set as files: checked, fetched, unpacked; its normals in the store."""
