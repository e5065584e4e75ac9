defmodule Vllm.Documents.Runner do
  @moduledoc false
  # Runs the blocks of a page as one program, and what it prints is not printed.
  #
  # Fails if a block raises, if it ends with an error that it does not match, and if a session of IEx
  # prints something else than the page shows. There `…` stands for any text.
  #
  # A block that begins with `import Config` is a configuration, and is only read.
  #
  # A page that says `children = [...]` shows a part of a supervision tree. `start:` gets the list.
  # `in:` is the folder in which a page finds the files that it names.

  import ExUnit.Assertions

  alias Vllm.Documents

  @spec run(Path.t(), atom(), keyword(), keyword()) :: String.t()
  def run(page, stage, bindings, options \\ []) do
    before = modules()
    blocks = Documents.blocks(page, stage)
    # Two stages may run a page, and a page may define a module again, as a person in IEx would.
    conflicts = Code.get_compiler_option(:ignore_module_conflict)
    Code.put_compiler_option(:ignore_module_conflict, true)

    try do
      ExUnit.CaptureIO.capture_io(fn ->
        File.cd!(Keyword.get(options, :in, "."), fn ->
          state = {bindings, Code.env_for_eval(file: page)}
          Enum.reduce(blocks, state, &block(&1, &2, options))
        end)
      end)
    after
      Code.put_compiler_option(:ignore_module_conflict, conflicts)
      for module <- modules() -- before, do: purge(module)
    end
  end

  defp block(%{code: "import Config\n" <> _ = code} = block, state, _options) do
    assert [_ | _] = Config.Reader.eval!(block.page, code)
    state
  end

  defp block(block, state, options) do
    if Documents.session?(block) do
      Enum.reduce(Documents.steps(block), state, &step(&1, block, &2))
    else
      {:ok, quoted} = Documents.parse(block)
      {value, bindings, env} = eval(quoted, block, state)
      unless match?({:=, _, _}, last(quoted)), do: assert_no_error(value, block)
      started(bindings, elem(state, 0), options)
      {bindings, env}
    end
  end

  defp step({code, printed}, block, state) do
    quoted = Code.string_to_quoted!(code, file: block.page, line: block.line)
    {value, bindings, env} = eval(quoted, block, state)

    if printed do
      pattern = printed |> Regex.escape() |> String.replace("…", ".*")

      assert inspect(value, pretty: true) =~ ~r/\A#{pattern}\z/s,
             "#{place(block)}: #{code}\nprints #{inspect(value, pretty: true)}\nand not #{printed}"
    end

    {bindings, env}
  end

  defp eval(quoted, block, {bindings, env}) do
    Code.eval_quoted_with_env(quoted, bindings, env)
  rescue
    error in ExUnit.AssertionError ->
      reraise error, __STACKTRACE__

    error ->
      flunk("#{place(block)}: #{Exception.format(:error, error, __STACKTRACE__)}\n#{block.code}")
  end

  defp assert_no_error({:error, error}, block) do
    flunk("#{place(block)} ends with #{inspect(error)}\n#{block.code}")
  end

  defp assert_no_error(_value, _block), do: :ok

  defp last({:__block__, _, expressions}) when expressions != [], do: List.last(expressions)
  defp last(expression), do: expression

  defp started(bindings, earlier, options) do
    start = options[:start]
    children = bindings[:children]
    if start && children && children != earlier[:children], do: start.(children)
  end

  defp place(block), do: "#{block.page}:#{block.line}"

  defp modules, do: for({module, _file} <- :code.all_loaded(), do: module)

  defp purge(module) do
    if String.starts_with?(Atom.to_string(module), "Elixir.MyApp") do
      :code.purge(module)
      :code.delete(module)
    end
  end
end
