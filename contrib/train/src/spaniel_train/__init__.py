"""Training for Spaniel: adds the kinds ``trainee``, ``objective``, ``optimizer``, ``adapt``, ``synthesize``, and commands."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Command, Component, Kind, hookimpl

_HOOKS = "spaniel_train.hookspecs"
_CONFIG = "spaniel_train.config:"
_OBJECTIVES = "spaniel_train.objectives."
_PROTOCOLS = "spaniel_train.protocols:"


@hookimpl
def kinds() -> Iterator[Kind]:
    yield Kind("trainee", "a kind of model that is trained", {"": f"{_PROTOCOLS}TraineeMaker"}, hookspecs=_HOOKS)
    yield Kind("objective", "a batch of training rows → a loss", {"": f"{_PROTOCOLS}Objective"}, hookspecs=_HOOKS)
    yield Kind("optimizer", "parameters → an optimizer", {"": f"{_PROTOCOLS}OptimizerMaker"}, hookspecs=_HOOKS)
    yield Kind("adapt", "a model's folder → another one, and a report", {"": f"{_PROTOCOLS}Adapter"}, hookspecs=_HOOKS)
    yield Kind(
        "synthesize",
        "a collection, or training rows → training rows",
        {"": f"{_PROTOCOLS}Synthesizer"},
        hookspecs=_HOOKS,
    )


@hookimpl
def trainee() -> Iterator[Component]:
    rooms = "spaniel_train.trainees."
    yield Component(
        "bi-encoder",
        factory=f"{rooms}encoders:BiEncoderMaker",
        summary="a vector a text",
        paper="Reimers and Gurevych, Sentence-BERT, EMNLP 2019",
    )
    yield Component(
        "sparse",
        factory=f"{rooms}encoders:SparseMaker",
        summary="weights of terms",
        paper="Formal et al., SPLADE v2: Sparse Lexical and Expansion Model for Information Retrieval, 2021",
    )
    yield Component(
        "cross-encoder",
        factory=f"{rooms}pairs:CrossEncoderMaker",
        summary="a score of query and text read together",
        paper="Nogueira and Cho, Passage Re-ranking with BERT, 2019",
    )

    yield Component(
        "multi-vector",
        config=f"{_CONFIG}MultiVectorConfig",
        factory=f"{rooms}multi_vector:MultiVectorMaker",
        summary="a vector a token, compared by MaxSim",
        paper="Khattab and Zaharia, ColBERT: Efficient and Effective Passage Search …, SIGIR 2020",
    )
    yield Component(
        "masked-lm",
        config=f"{_CONFIG}LanguageConfig",
        factory=f"{rooms}language:MaskedLmMaker",
        summary="the tokens that are hidden in a text; what encoders start from",
        paper="Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, NAACL 2019",
    )
    yield Component(
        "causal-lm",
        config=f"{_CONFIG}LanguageConfig",
        factory=f"{rooms}language:CausalLmMaker",
        summary="the next token of a text",
        paper="Radford et al., Improving Language Understanding by Generative Pre-Training, 2018",
    )


@hookimpl
def objective() -> Iterator[Component]:
    yield Component(
        "info-nce",
        config=f"{_CONFIG}InfoNceConfig",
        factory=f"{_OBJECTIVES}contrastive:InfoNce",
        summary="the right text among the wrong ones of its group and of the batch",
        paper="van den Oord, Li and Vinyals, Representation Learning with Contrastive Predictive Coding, 2018, eq. 4",
    )
    yield Component(
        "margin-mse",
        factory=f"{_OBJECTIVES}distillation:MarginMse",
        summary="the teacher's margins between right and wrong texts",
        paper="Hofstätter et al., Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge …, 2020, eq. 8",
    )
    yield Component(
        "kl",
        config=f"{_CONFIG}KlConfig",
        factory=f"{_OBJECTIVES}distillation:Kl",
        summary="the teacher's distribution over a group",
        paper="Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015, section 2",
    )
    yield Component(
        "mse",
        factory=f"{_OBJECTIVES}distillation:Mse",
        summary="the teacher's scores themselves",
        paper="Ba and Caruana, Do Deep Nets Really Need to be Deep?, NeurIPS 2014, eq. 1",
    )
    yield Component(
        "triplet",
        config=f"{_CONFIG}TripletConfig",
        factory=f"{_OBJECTIVES}pairwise:Triplet",
        summary="right texts nearer to the query than wrong ones, by a margin",
        paper="Schroff, Kalenichenko and Philbin, FaceNet, CVPR 2015, eq. 3",
    )
    yield Component(
        "hinge",
        config=f"{_CONFIG}HingeConfig",
        factory=f"{_OBJECTIVES}pairwise:Hinge",
        summary="right texts score higher than wrong ones, by a margin",
        paper="Joachims, Optimizing Search Engines using Clickthrough Data, KDD 2002",
    )
    yield Component(
        "ranknet",
        config=f"{_CONFIG}RankNetConfig",
        factory=f"{_OBJECTIVES}pairwise:RankNet",
        summary="the probability that the better text of a pair scores higher",
        paper="Burges et al., Learning to Rank using Gradient Descent, ICML 2005, eq. 3",
    )
    yield Component(
        "lambdarank",
        config=f"{_CONFIG}LambdaRankConfig",
        factory=f"{_OBJECTIVES}pairwise:LambdaRank",
        summary="RankNet with each pair weighed by what swapping it changes in nDCG",
        paper="Burges, From RankNet to LambdaRank to LambdaMART: An Overview, 2010, section 4",
    )
    yield Component(
        "listnet",
        config=f"{_CONFIG}ListConfig",
        factory=f"{_OBJECTIVES}listwise:ListNet",
        summary="the distribution over which text comes first",
        paper="Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach, ICML 2007, section 4.3",
    )
    yield Component(
        "listmle",
        config=f"{_CONFIG}ListConfig",
        factory=f"{_OBJECTIVES}listwise:ListMle",
        summary="the likelihood of the best order",
        paper="Xia et al., Listwise Approach to Learning to Rank: Theory and Algorithm, ICML 2008, eq. 9",
    )
    yield Component(
        "flops",
        config=f"{_CONFIG}SparsityConfig",
        factory=f"{_OBJECTIVES}sparsity:Flops",
        summary="the operations that searching the vectors takes: the squared mean weight of each term",
        paper="Paria et al., Minimizing FLOPs to Learn Efficient Sparse Representations, ICLR 2020, section 4",
    )
    yield Component(
        "l1",
        config=f"{_CONFIG}SparsityConfig",
        factory=f"{_OBJECTIVES}sparsity:L1",
        summary="the sum of a vector's absolute weights",
        paper="Zamani et al., From Neural Re-Ranking to Neural Ranking (SNRM), CIKM 2018, section 3.2",
    )
    yield Component(
        "masked-lm",
        config=f"{_CONFIG}MaskedLmConfig",
        factory=f"{_OBJECTIVES}language:MaskedLm",
        summary="tokens that were masked, by whole words, each counting by a weight",
        paper="Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, NAACL 2019, section 3.1",
    )
    yield Component(
        "causal-lm",
        config=f"{_CONFIG}CausalLmConfig",
        factory=f"{_OBJECTIVES}language:CausalLm",
        summary="the next token, each counting by a weight",
        paper="Radford et al., Improving Language Understanding by Generative Pre-Training, 2018, eq. 1",
    )


@hookimpl
def optimizer() -> Iterator[Component]:
    yield Component(
        "adamw",
        config=f"{_CONFIG}AdamWConfig",
        factory="spaniel_train.optimizers:AdamW",
        summary="Adam with weight decay apart from the gradient; two numbers kept for each parameter",
        paper="Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019, algorithm 2",
    )
    yield Component(
        "sgd",
        config=f"{_CONFIG}SgdConfig",
        factory="spaniel_train.optimizers:Sgd",
        summary="gradient descent; with momentum one number kept for each parameter, else none",
        paper="Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013, eq. 1-4",
    )
    yield Component(
        "adafactor",
        config=f"{_CONFIG}AdafactorConfig",
        factory="spaniel_train.optimizers:Adafactor",
        summary="Adam's second moment by rows and columns: hardly any memory beside the parameters",
        paper="Shazeer and Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, ICML 2018, algorithm 4",
    )


@hookimpl
def synthesize() -> Iterator[Component]:
    rooms = "spaniel_train.synthesizers."
    yield Component(
        "negatives",
        config=f"{_CONFIG}NegativesConfig",
        factory=f"{rooms}negatives:Negatives",
        summary="wrong documents that any retriever takes for right ones, by rules of rank and score",
        paper="Moreira et al., NV-Retriever: Improving text embedding models with effective hard-negative mining, 2024",
    )
    yield Component(
        "titles",
        config=f"{_CONFIG}TitlesConfig",
        factory=f"{rooms}titles:Titles",
        summary="each document's title as the query that its text answers; no judgments needed",
        paper="MacAvaney et al., Content-Based Weak Supervision for Ad-Hoc Re-Ranking, SIGIR 2019",
    )
    yield Component(
        "documents",
        config=f"{_CONFIG}DocumentsConfig",
        factory=f"{rooms}documents:Documents",
        summary="each document, or passage, as a row without a query, for language models",
    )
    yield Component(
        "labels",
        config=f"{_CONFIG}LabelsConfig",
        factory=f"{rooms}labels:Labels",
        summary="teacher scores for training rows, by any reranker that scores pairs or any dense encoder",
        paper="Hofstätter et al., Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge …, 2020",
    )
    yield Component(
        "lm-queries",
        config=f"{_CONFIG}LmQueriesConfig",
        factory=f"{rooms}questions:LmQueries",
        summary="queries that a language model asks of documents",
        paper="Bonifacio et al., InPars: Data Augmentation for Information Retrieval using Large Language Models, 2022",
        extra="lm",
    )


@hookimpl
def adapt() -> Iterator[Component]:
    rooms = "spaniel_train.adapters."
    yield Component(
        "average",
        config=f"{_CONFIG}AverageConfig",
        factory=f"{rooms}averaging:Average",
        summary="the mean of the model's weights and those of others that were trained from the same base",
        paper="Wortsman et al., Model soups: averaging weights of multiple fine-tuned models …, ICML 2022",
    )


@hookimpl
def commands() -> Iterator[Command]:
    yield Command("train", "spaniel_train.cli:train", "train a model by a recipe")
    yield Command("synthesize", "spaniel_train.cli:synthesize", "make training rows")
    yield Command("adapt", "spaniel_train.cli:adapt", "change a model")
