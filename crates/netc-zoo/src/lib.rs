//! Built-in architectures, made through the public model builder, with weights from a seed.
