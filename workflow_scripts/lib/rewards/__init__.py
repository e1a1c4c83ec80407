"""What judges images: GAN-RM's heads on frozen encoders, Adv-GRPO's discriminators, and published scorers."""
