"""Image classifiers of timm, segmentation, detection and vision transformers."""

from zoo.entry import Entry, Input


def _timm(name: str, size: int = 224, other: int = 0, **options: object) -> Entry:
    def make():
        import timm

        return timm.create_model(name, pretrained=False, **options)

    image = Input((3, size, size), "image", (3, other, other) if other else None)
    return Entry(name, "vision", "timm", make, (image,))


def _segmentation(name: str, encoder: str, size: int = 256, other: int = 320) -> Entry:
    def make():
        import segmentation_models_pytorch as smp

        return smp.create_model(name, encoder_name=encoder, encoder_weights=None, classes=21)

    image = Input((3, size, size), "image", (3, other, other))
    return Entry(f"{name}_{encoder}", "segmentation", "segmentation_models_pytorch", make, (image,))


_TASKS = {"seg": "Segmentation", "pose": "Pose", "cls": "Classification"}


def _ultralytics(file: str, size: int = 320, other: int = 384) -> Entry:
    def make():
        from ultralytics.nn import tasks

        task = "Detection"
        for suffix, kind in (
            ("-seg", "Segmentation"),
            ("-pose", "Pose"),
            ("-cls", "Classification"),
        ):
            task = kind if suffix in file else task
        model = getattr(tasks, f"{task}Model")(f"{file}.yaml", verbose=False)
        return model.eval()

    image = Input((3, size, size), "image", (3, other, other))
    return Entry(file, "detection", "ultralytics", make, (image,))


def _hf(name: str, config: str, model: str, size: int = 224, **options: object) -> Entry:
    def make():
        import transformers

        return getattr(transformers, model)(getattr(transformers, config)(**options))

    image = Input((3, size, size), "image")
    return Entry(name, "vision", "transformers", make, (image,), ("pixel_values",))


def _detr() -> Entry:
    def make():
        import transformers

        config = transformers.DetrConfig(
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            backbone=None,
            backbone_config=transformers.ResNetConfig(out_features=["stage4"]),
            encoder_layers=3,
            decoder_layers=3,
        )
        return transformers.DetrForObjectDetection(config)

    return Entry(
        "detr_resnet50", "detection", "transformers", make, (Input((3, 320, 320), "image"),),
        ("pixel_values",),
    )  # fmt: skip


VISION = [
    _timm("resnet18", other=256),
    _timm("resnet50", other=256),
    _timm("resnext50_32x4d"),
    _timm("wide_resnet50_2"),
    _timm("seresnet50"),
    _timm("resnest50d"),
    _timm("res2net50_26w_4s"),
    _timm("resnetv2_50"),
    _timm("mobilenetv2_100", other=256),
    _timm("mobilenetv3_large_100", other=256),
    _timm("mobilenetv4_conv_small", other=256),
    _timm("mnasnet_100"),
    _timm("efficientnet_b0", other=256),
    _timm("efficientnet_lite0"),
    _timm("efficientnetv2_rw_s"),
    _timm("mixnet_s"),
    _timm("regnety_016"),
    _timm("regnetx_016"),
    _timm("densenet121"),
    _timm("dla34"),
    _timm("hrnet_w18_small"),
    _timm("repvgg_a2"),
    _timm("mobileone_s1"),
    _timm("inception_v3", 299),
    _timm("xception41"),
    _timm("ghostnet_100"),
    _timm("vgg11_bn"),
    _timm("cspdarknet53"),
    _timm("vovnet39a"),
    _timm("selecsls42b"),
    _timm("hardcorenas_a"),
    _timm("nfnet_l0"),
    _timm("rexnet_100"),
    _timm("convnext_tiny"),
    _timm("convnextv2_atto"),
    _timm("mixer_s16_224"),
    _timm("gmlp_s16_224"),
    _timm("resmlp_12_224"),
    _timm("poolformer_s12"),
    _timm("fastvit_t8", 256),
    _timm("efficientformer_l1"),
    _timm("edgenext_small", 256),
    _timm("mobilevit_s", 256),
    _timm("swin_tiny_patch4_window7_224"),
    _timm("vit_tiny_patch16_224"),
    _timm("deit_tiny_patch16_224"),
    _timm("beit_base_patch16_224", num_classes=10),
    _timm("cait_xxs24_224"),
    _timm("xcit_tiny_12_p16_224"),
    _timm("pvt_v2_b0"),
    _timm("levit_128"),
    _timm("coatnet_0_rw_224"),
    _timm("maxvit_tiny_tf_224"),
    _timm("eva02_tiny_patch14_224"),
    _segmentation("unet", "resnet18"),
    _segmentation("unetplusplus", "resnet18"),
    _segmentation("deeplabv3plus", "mobilenet_v2"),
    _segmentation("fpn", "resnet18"),
    _segmentation("linknet", "resnet18"),
    _segmentation("pspnet", "resnet18"),
    _segmentation("manet", "resnet18"),
    _segmentation("segformer", "mit_b0"),
    _ultralytics("yolov8n"),
    _ultralytics("yolov5n"),
    _ultralytics("yolov10n"),
    _ultralytics("yolo11n"),
    _ultralytics("yolo11n-seg"),
    _ultralytics("yolo11n-pose"),
    _ultralytics("yolo11n-cls", 224, 256),
    _detr(),
    _hf("clip_vision", "CLIPVisionConfig", "CLIPVisionModel", hidden_size=384,
        intermediate_size=1536, num_hidden_layers=6, num_attention_heads=6),
    _hf("dinov2_small", "Dinov2Config", "Dinov2Model", hidden_size=384, num_hidden_layers=6,
        num_attention_heads=6, image_size=224),
    _hf("siglip_vision", "SiglipVisionConfig", "SiglipVisionModel", hidden_size=384,
        intermediate_size=1536, num_hidden_layers=6, num_attention_heads=6),
]  # fmt: skip
