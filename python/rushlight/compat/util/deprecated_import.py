"""Older paths of modules, and the paths of 6.2 that stand in their place."""

from __future__ import annotations

__all__ = ["DEPRECATED_MODULE_PATHS"]

# Paths of 6.2, with their older ones.
_OLDER = {
    "base.evaluation.evaluator": "evaluation.SentenceEvaluator",
    "base.evaluation.sequential": "evaluation.SequentialEvaluator",
    "base.modules.dense": "models.Dense",
    "base.modules.input_module": "models.InputModule",
    "base.modules.module": "models.Module",
    "base.modules.normalize": "models.Normalize sentence_transformer.modules.normalize",
    "base.modules.router": "models.Asym models.Router",
    "base.modules.transformer": "models.Transformer",
    "cross_encoder.evaluation.deprecated": " ".join(
        f"cross_encoder.evaluation.CE{kind}Evaluator"
        for kind in ("BinaryAccuracy", "BinaryClassification", "Correlation", "F1", "Reranking", "SoftmaxAccuracy")
    ),
    "cross_encoder.model": "cross_encoder.CrossEncoder",
    "sentence_transformer.evaluation": "evaluation",
    "sentence_transformer.evaluation.binary_classification": "evaluation.BinaryClassificationEvaluator",
    "sentence_transformer.evaluation.embedding_similarity": "evaluation.EmbeddingSimilarityEvaluator",
    "sentence_transformer.evaluation.information_retrieval": "evaluation.InformationRetrievalEvaluator",
    "sentence_transformer.evaluation.mse": "evaluation.MSEEvaluator",
    "sentence_transformer.evaluation.nano_beir": "evaluation.NanoBEIREvaluator",
    "sentence_transformer.evaluation.paraphrase_mining": "evaluation.ParaphraseMiningEvaluator",
    "sentence_transformer.evaluation.reranking": "evaluation.RerankingEvaluator",
    "sentence_transformer.evaluation.translation": "evaluation.TranslationEvaluator",
    "sentence_transformer.evaluation.triplet": "evaluation.TripletEvaluator",
    "sentence_transformer.model": "SentenceTransformer",
    "sentence_transformer.modules": "models",
    "sentence_transformer.modules.bow": "models.BoW",
    "sentence_transformer.modules.clip_model": "models.CLIPModel",
    "sentence_transformer.modules.cnn": "models.CNN",
    "sentence_transformer.modules.dropout": "models.Dropout",
    "sentence_transformer.modules.layer_norm": "models.LayerNorm",
    "sentence_transformer.modules.lstm": "models.LSTM",
    "sentence_transformer.modules.pooling": "models.Pooling",
    "sentence_transformer.modules.static_embedding": "models.StaticEmbedding",
    "sentence_transformer.modules.weighted_layer_pooling": "models.WeightedLayerPooling",
    "sentence_transformer.modules.word_embeddings": "models.WordEmbeddings",
    "sentence_transformer.modules.word_weights": "models.WordWeights",
    "sparse_encoder.evaluation.reciprocal_rank_fusion": "sparse_encoder.evaluation.ReciprocalRankFusionEvaluator",
    "sparse_encoder.evaluation.sparse_binary_classification": "sparse_encoder.evaluation"
    ".SparseBinaryClassificationEvaluator",
    "sparse_encoder.evaluation.sparse_embedding_similarity": "sparse_encoder.evaluation"
    ".SparseEmbeddingSimilarityEvaluator",
    "sparse_encoder.evaluation.sparse_information_retrieval": "sparse_encoder.evaluation"
    ".SparseInformationRetrievalEvaluator",
    "sparse_encoder.evaluation.sparse_mse": "sparse_encoder.evaluation.SparseMSEEvaluator",
    "sparse_encoder.evaluation.sparse_nano_beir": "sparse_encoder.evaluation.SparseNanoBEIREvaluator",
    "sparse_encoder.evaluation.sparse_reranking": "sparse_encoder.evaluation.SparseRerankingEvaluator",
    "sparse_encoder.evaluation.sparse_translation": "sparse_encoder.evaluation.SparseTranslationEvaluator",
    "sparse_encoder.evaluation.sparse_triplet": "sparse_encoder.evaluation.SparseTripletEvaluator",
    "sparse_encoder.model": "sparse_encoder.SparseEncoder",
    "sparse_encoder.modules": "sparse_encoder.models",
    "sparse_encoder.modules.mlm_transformer": "sparse_encoder.models.MLMTransformer",
    "sparse_encoder.modules.sparse_auto_encoder": "sparse_encoder.models.SparseAutoEncoder",
    "sparse_encoder.modules.sparse_static_embedding": "sparse_encoder.models.SparseStaticEmbedding",
    "sparse_encoder.modules.splade_pooling": "sparse_encoder.models.SpladePooling",
    "util.logging": "LoggingHandler",
    "util.quantization": "quantization",
    "util.similarity": "evaluation.SimilarityFunction similarity_functions",
}
DEPRECATED_MODULE_PATHS = {
    f"sentence_transformers.{older}": f"sentence_transformers.{path}"
    for path, paths in _OLDER.items()
    for older in paths.split()
}
