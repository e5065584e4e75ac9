defmodule Mix.Tasks.Vllm.Doctor do
  @shortdoc "Checks whether vLLM can run on this machine, and says what to do if not"

  @moduledoc """
  Checks Elixir, Python, vLLM, sockets, memory, disk and processor.

      mix vllm.doctor [--json] [--deep]

  The exit status is 1 if a check has failed. Warnings do not count.

    * `--json` - print a list of objects with `name`, `looks_at`, `result`, `found` and `advice`
    * `--deep` - import vLLM, which takes 10 s, instead of only checking that it is installed
  """

  use Mix.Task

  alias Vllm.Doctor

  @requirements ["app.config"]

  @impl true
  def run(arguments) do
    {options, []} = OptionParser.parse!(arguments, strict: [json: :boolean, deep: :boolean])
    checks = Doctor.run(deep: options[:deep] == true)

    if options[:json],
      do: IO.puts(to_json(checks)),
      else: Enum.each(checks, &IO.puts(to_text(&1)))

    unless Doctor.healthy?(checks), do: exit({:shutdown, 1})
  end

  defp to_text(check) do
    heading = "#{label(check.result)}  #{String.pad_trailing(check.name, 14)}#{check.found}"
    if check.advice, do: heading <> "\n      to do: " <> check.advice, else: heading
  end

  defp label(:ok), do: "ok  "
  defp label(:warn), do: "warn"
  defp label(:fail), do: "FAIL"

  # By hand, because Elixir has no JSON module before 1.18.
  defp to_json(checks) do
    "[\n" <> Enum.map_join(checks, ",\n", &("  " <> object(&1))) <> "\n]"
  end

  defp object(check) do
    fields = [:name, :looks_at, :result, :found, :advice]
    "{" <> Enum.map_join(fields, ", ", &"#{string(&1)}: #{string(check[&1])}") <> "}"
  end

  defp string(nil), do: "null"

  defp string(value) do
    escaped =
      for <<char::utf8 <- to_string(value)>>, into: "" do
        case char do
          ?" ->
            "\\\""

          ?\\ ->
            "\\\\"

          char when char < 0x20 ->
            "\\u" <> String.pad_leading(Integer.to_string(char, 16), 4, "0")

          char ->
            <<char::utf8>>
        end
      end

    "\"" <> escaped <> "\""
  end
end
