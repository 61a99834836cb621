"""The `mrcnn-tf` command, one file a verb."""
