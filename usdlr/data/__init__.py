"""From canonical images to batches: samples, augmentation, dataset and datamodule."""
