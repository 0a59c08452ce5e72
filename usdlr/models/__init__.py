"""Networks as pure ``nn.Module``: backbones, tabular encoder, fusion. They know no files, tables or training."""
