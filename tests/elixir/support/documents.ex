defmodule Vllm.Documents do
  @moduledoc false
  # The manual: every page that shows code, its blocks, and where they run.
  #
  # The blocks of a page are one program: they run in order, and what an earlier block binds, aliases
  # and defines is there in a later one. `stage/1` says on what:
  #
  #   * `:fake`     a worker of `Vllm.Test` named `MyApp.Vllm`, and an engine of it
  #   * `:kit`      the blocks are tests, and run as tests of `Vllm.Test`
  #   * `:default`  the default instance with real vLLM
  #   * a path      the blocks run in this test of their own, which reads the page
  #   * another     the real engine of this kind, see `Vllm.VllmEngine`
  #
  # Blocks of the language `iex` are sessions whose output is another each time: they are only parsed.
  #
  # Two comments in a page's source change that for the block that follows:
  #
  #   <!-- not run: it needs a GPU -->    the block is only parsed
  #   <!-- runs on: kit -->               the block runs there, without what other blocks have bound

  @stages %{
    "README.md" => :default,
    "AGENTS.md" => :fake,
    "usage-rules.md" => :fake,
    "elixir/guides/architecture.md" => :fake,
    "elixir/guides/chat.md" => :chat,
    "elixir/guides/cheatsheet.cheatmd" => :fake,
    "elixir/guides/compatibility.md" => :fake,
    "elixir/guides/deployment.md" => :fake,
    "elixir/guides/ecosystem.md" => :fake,
    "elixir/guides/engines_and_references.md" => :fake,
    "elixir/guides/errors.md" => :fake,
    "elixir/guides/getting_started.md" => :default,
    "elixir/guides/iex.md" => :fake,
    "elixir/guides/llama_factory.md" => "tests/elixir/vllm/llama_factory_test.exs",
    "elixir/guides/lora.md" => :lora,
    "elixir/guides/mellea.md" => :chat,
    "elixir/guides/moving_over.md" => :fake,
    "elixir/guides/multimodal.md" => :sees,
    "elixir/guides/operations.md" => :fake,
    "elixir/guides/other_languages.md" => :fake,
    "elixir/guides/performance.md" => :fake,
    "elixir/guides/pool.md" => :fake,
    "elixir/guides/pooling.md" => :embed,
    "elixir/guides/providers.md" => "tests/elixir/vllm/inference_test.exs",
    "elixir/guides/sampling.md" => :chat,
    "elixir/guides/security.md" => :fake,
    "elixir/guides/several_hosts.md" => :fake,
    "elixir/guides/streaming.md" => :fake,
    "elixir/guides/structured_output.md" => :chat,
    "elixir/guides/telemetry.md" => :fake,
    "elixir/guides/testing.md" => :kit,
    "elixir/guides/tls.md" => :fake,
    "elixir/guides/troubleshooting.md" => :fake,
    "elixir/guides/upgrading_vllm.md" => :fake
  }

  # How many blocks of a page are not run. A new one is a decision, so it changes this table too.
  @not_run %{
    "elixir/guides/deployment.md" => 3,
    "elixir/guides/ecosystem.md" => 4,
    "elixir/guides/errors.md" => 5,
    "elixir/guides/getting_started.md" => 2,
    "elixir/guides/mellea.md" => 3,
    "elixir/guides/multimodal.md" => 1,
    "elixir/guides/operations.md" => 2,
    "elixir/guides/pool.md" => 4,
    "elixir/guides/pooling.md" => 1,
    "elixir/guides/several_hosts.md" => 2,
    "elixir/guides/streaming.md" => 1,
    "elixir/guides/structured_output.md" => 1,
    "elixir/guides/tls.md" => 1
  }

  @languages ~w(elixir iex console bash python text json yaml toml ini dockerfile heex)
  @fence ~r/(?:^<!-- (not run|runs on): ([^\n]*?) -->\n\n?)?^```([^\n]*)\n(.*?)^```$/ms

  @type stage :: atom() | Path.t()

  @type block :: %{
          page: Path.t(),
          line: pos_integer(),
          language: String.t(),
          code: String.t(),
          stage: stage(),
          not_run: String.t() | nil
        }

  @spec pages() :: [Path.t()]
  def pages,
    do: [
      "README.md",
      "AGENTS.md",
      "usage-rules.md" | Path.wildcard("elixir/guides/*.{md,cheatmd}")
    ]

  @spec stages() :: %{Path.t() => stage()}
  def stages, do: @stages

  @spec not_run() :: %{Path.t() => pos_integer()}
  def not_run, do: @not_run

  @spec languages() :: [String.t()]
  def languages, do: @languages

  @doc "The pages whose blocks, or some of them, run on a stage."
  @spec on(stage()) :: [Path.t()]
  def on(stage), do: for(page <- pages(), blocks(page, stage) != [], do: page)

  @doc "The blocks of Elixir of a page that run on a stage."
  @spec blocks(Path.t(), stage()) :: [block()]
  def blocks(page, stage) do
    for block <- blocks(page),
        block.language == "elixir" and block.stage == stage and block.not_run == nil,
        do: block
  end

  @doc "All blocks of a page."
  @spec blocks(Path.t()) :: [block()]
  def blocks(page) do
    text = File.read!(page)

    for [_all, mark, reason, language, {start, length}] <- scan(text) do
      %{
        page: page,
        line: line(text, start),
        language: language,
        code: binary_part(text, start, length),
        stage: if(mark == "runs on", do: String.to_atom(reason), else: @stages[page]),
        not_run: if(mark == "not run", do: reason)
      }
    end
  end

  @doc "The text of a page without its blocks."
  @spec prose(Path.t()) :: String.t()
  def prose(page), do: Regex.replace(@fence, File.read!(page), "")

  @doc "What stands in backquotes in the text of a page."
  @spec spans(Path.t()) :: [String.t()]
  def spans(page) do
    for [_, _, span] <- Regex.scan(~r/(`+)(.+?)\1/s, prose(page)),
        do: span |> String.replace(~r/\s+/, " ") |> String.trim() |> String.replace("\\|", "|")
  end

  @doc "The blocks of a page that have to be Elixir, whether or not they run."
  @spec elixir(Path.t()) :: [block()]
  def elixir(page), do: for(block <- blocks(page), block.language in ["elixir", "iex"], do: block)

  @doc "Whether a block is a session of IEx, with prompts and what is printed."
  @spec session?(block()) :: boolean()
  def session?(block), do: String.starts_with?(block.code, "iex> ")

  @doc "The inputs of a session, each with what IEx prints after it, where that is shown."
  @spec steps(block()) :: [{String.t(), String.t() | nil}]
  def steps(block) do
    for step <- String.split(block.code, ~r/^iex> /m, trim: true) do
      {more, printed} =
        step
        |> String.split("\n", trim: true)
        |> tl()
        |> Enum.split_while(&String.starts_with?(&1, "...> "))

      first = step |> String.split("\n") |> hd()
      code = Enum.join([first | Enum.map(more, &String.replace_prefix(&1, "...> ", ""))], "\n")
      {code, if(printed != [], do: Enum.join(printed, "\n"))}
    end
  end

  @doc "A block as Elixir."
  @spec parse(block()) :: {:ok, Macro.t()} | {:error, term()}
  def parse(block) do
    code =
      if session?(block),
        do: block |> steps() |> Enum.map_join("\n", &elem(&1, 0)),
        else: block.code

    Code.string_to_quoted(code, file: block.page, line: block.line)
  end

  defp scan(text) do
    for [_all | groups] <- Regex.scan(@fence, text, return: :index) do
      [mark, reason, language, code] = groups
      [nil, part(text, mark), part(text, reason), part(text, language), code]
    end
  end

  defp part(_text, {-1, 0}), do: ""
  defp part(text, {start, length}), do: binary_part(text, start, length)

  defp line(text, start),
    do: 1 + (text |> binary_part(0, start) |> String.graphemes() |> Enum.count(&(&1 == "\n")))
end
